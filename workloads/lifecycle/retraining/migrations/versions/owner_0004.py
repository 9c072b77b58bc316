"""Several replicas share one ledger: rows get owners and leases, and moves of the alias are recorded beforehand.

Every new column has a server default or is nullable, so that a replica of the previous version keeps inserting and
updating rows while both versions run.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Add the owner's columns to `retrains`, and the tables `alias_moves` and `drift_checks`."""
    op.add_column("retrains", sa.Column("kind", sa.String(8), nullable=False, server_default="retrain"))
    op.add_column("retrains", sa.Column("owner", sa.String(128)))
    op.add_column("retrains", sa.Column("epoch", sa.Integer, nullable=False, server_default="0"))
    op.add_column("retrains", sa.Column("owned_until", sa.Float))
    op.create_table(
        "alias_moves",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(64), nullable=False, unique=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("slot", sa.String(8), unique=True),
        sa.Column("version_from", sa.String(32), nullable=False, server_default=""),
        sa.Column("version_to", sa.String(32), nullable=False, server_default=""),
        sa.Column("outcome", sa.String(16), nullable=False, server_default=""),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("owned_until", sa.Float, nullable=False),
        sa.Column("begun_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
    )
    op.create_table(
        "drift_checks",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("slot", sa.String(8), unique=True),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("owned_until", sa.Float, nullable=False),
        sa.Column("begun_at", sa.Float, nullable=False),
        sa.Column("ended_at", sa.Float),
        sa.Column("exit_status", sa.Integer),
        sa.Column("line", sa.Text, nullable=False, server_default=""),
    )
