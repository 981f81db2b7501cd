"""The host and the version of a worker."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("host", sa.Text))
    op.add_column("workers", sa.Column("version", sa.Text))


def downgrade() -> None:
    op.drop_column("workers", "version")
    op.drop_column("workers", "host")
