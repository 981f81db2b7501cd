"""The result of the last comparison of a connection."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("source_system", sa.Text, nullable=False),
        sa.Column("entity_type", sa.Text, nullable=False),
        sa.Column("found", JSONB, nullable=False),
        sa.Column("remaining", JSONB, nullable=False),
        sa.Column("not_read", sa.Integer, nullable=False),
        sa.Column(
            "ended_at",
            sa.DateTime(timezone=True),
            nullable=False,
            server_default=sa.text("now()"),
        ),
        sa.PrimaryKeyConstraint("source_system", "entity_type"),
    )


def downgrade() -> None:
    op.drop_table("comparisons")
