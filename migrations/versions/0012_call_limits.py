"""The calls of each connection, by limit."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A new table: the running release ignores it."""
    op.create_table(
        "call_limits",
        sa.Column("source_system", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("calls", sa.Integer(), nullable=False),
        sa.Column("slot", sa.BigInteger(), nullable=False, server_default=sa.text("0")),
        sa.Column("taken", ARRAY(sa.Integer()), nullable=False, server_default=sa.text("'{}'")),
        sa.Column("others", sa.Integer(), nullable=False, server_default=sa.text("0")),
        sa.Column("reported_calls", sa.Integer()),
        sa.Column("reported_until", sa.DateTime(timezone=True)),
        sa.Column("held_until", sa.DateTime(timezone=True)),
        sa.Column(
            "updated_at", sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now()
        ),
        sa.PrimaryKeyConstraint("source_system", "name", "seconds"),
    )


def downgrade() -> None:
    op.drop_table("call_limits")
