"""API keys have a scope and may expire; existing keys keep every right."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """A constant default rewrites nothing, and the previous release need not name the column."""
    op.add_column(
        "api_keys",
        sa.Column("scope", sa.Text(), server_default=sa.text("'admin'"), nullable=False),
    )
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    # The previous release would give a limited or expired key every right.
    op.execute("DELETE FROM api_keys WHERE scope <> 'admin' OR expires_at IS NOT NULL")
    op.drop_column("api_keys", "expires_at")
    op.drop_column("api_keys", "scope")
