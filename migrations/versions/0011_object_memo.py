"""The integration's memo about an external object."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("external_mappings", sa.Column("memo", JSONB()))


def downgrade() -> None:
    op.drop_column("external_mappings", "memo")
