"""The alert by itself, so that one delivered again is known although the champion has moved."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add `alert`, without its value for older rows: they are over."""
    op.add_column("retrains", sa.Column("alert", sa.String(192), nullable=False, server_default=""))
