"""The release job takes the running place too, for as long as it says that it lives."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add `lease_until`."""
    op.add_column("retrains", sa.Column("lease_until", sa.Float))
