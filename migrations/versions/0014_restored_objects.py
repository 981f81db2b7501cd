"""Whether the delete of an external object deleted its record."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Deletes of the past count as deletes of the record, so that they stay final."""
    op.add_column(
        "external_mappings",
        sa.Column("ended_record", sa.Boolean(), nullable=False, server_default=sa.text("false")),
    )


def downgrade() -> None:
    op.drop_column("external_mappings", "ended_record")
