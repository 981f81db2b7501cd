"""The version of an external object."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Null means that no version is known, so that a push is sent without one."""
    op.add_column("external_mappings", sa.Column("version", sa.Text()))


def downgrade() -> None:
    op.drop_column("external_mappings", "version")
