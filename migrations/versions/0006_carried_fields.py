"""The fields in the base of a mapping."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Null means all fields, as the running release compares."""
    op.add_column("external_mappings", sa.Column("carried", ARRAY(sa.Text())))


def downgrade() -> None:
    op.drop_column("external_mappings", "carried")
