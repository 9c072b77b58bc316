"""A retrain's candidate may be a challenger first: which one, of which champion, since when, and the one verdict on it.

Every new column has a server default or is nullable, so that a replica of the previous version keeps inserting and
updating rows while both versions run.
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add the challenger's columns to `retrains`."""
    op.add_column("retrains", sa.Column("challenger", sa.String(32)))
    op.add_column("retrains", sa.Column("challenged", sa.String(32)))
    op.add_column("retrains", sa.Column("challenged_at", sa.Double))
    op.add_column("retrains", sa.Column("verdict", sa.String(16), nullable=False, server_default=""))
