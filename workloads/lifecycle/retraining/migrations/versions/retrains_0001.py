"""The first ledger."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the table of retrains."""
    op.create_table(
        "retrains",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("key", sa.String(256), nullable=False, unique=True),
        sa.Column("reason", sa.String(512), nullable=False),
        sa.Column("from_alert", sa.Boolean, nullable=False),
        sa.Column("status", sa.String(16), nullable=False, index=True),
        sa.Column("slot", sa.String(8), unique=True),
        sa.Column("version_before", sa.String(32), nullable=False),
        sa.Column("version_after", sa.String(32)),
        sa.Column("labelled_window", sa.String(64), nullable=False, server_default=""),
        sa.Column("handle", sa.String(128)),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0"),
        sa.Column("detail", sa.Text, nullable=False, server_default=""),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("begun_at", sa.Float),
        sa.Column("ended_at", sa.Float),
    )
