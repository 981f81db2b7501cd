"""The actions of operators."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "operator_actions",
        sa.Column("id", sa.Uuid(as_uuid=False), primary_key=True),
        sa.Column(
            "at", sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()")
        ),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("place", sa.Text, nullable=False),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("reason", sa.Text),
        sa.Column("request", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("result", JSONB, nullable=False, server_default=sa.text("'{}'")),
        sa.Column("ended_at", sa.DateTime(timezone=True)),
    )
    op.create_index("operator_actions_target", "operator_actions", ["target", "id"])
    op.create_index("operator_actions_kind", "operator_actions", ["action", "id"])


def downgrade() -> None:
    op.drop_table("operator_actions")
