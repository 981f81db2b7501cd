"""The object into which an external object was merged."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("external_mappings", sa.Column("merged_into", sa.Text()))


def downgrade() -> None:
    op.drop_column("external_mappings", "merged_into")
