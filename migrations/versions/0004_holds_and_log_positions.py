"""Rate limits of connections, problems of workers, positions of Kafka's log."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Only nullable columns and a new table: the running release ignores them."""
    op.add_column("connections", sa.Column("held_until", sa.DateTime(timezone=True)))
    op.add_column("workers", sa.Column("problem", sa.Text()))
    op.create_table(
        "log_positions",
        sa.Column("topic", sa.Text(), primary_key=True),
        sa.Column("partition", sa.Integer(), primary_key=True, autoincrement=False),
        sa.Column("end_offset", sa.BigInteger(), nullable=False),
        sa.Column("went_back", sa.Boolean(), nullable=False, server_default=sa.text("false")),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
    )


def downgrade() -> None:
    op.drop_table("log_positions")
    op.drop_column("workers", "problem")
    op.drop_column("connections", "held_until")
