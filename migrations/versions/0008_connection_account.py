"""The account of a connection, and the latest release of its held deletes."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("connections", sa.Column("account", sa.Text()))
    op.add_column("connections", sa.Column("other_account", sa.Text()))
    op.add_column("connections", sa.Column("deletes_allowed_through", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("connections", "deletes_allowed_through")
    op.drop_column("connections", "other_account")
    op.drop_column("connections", "account")
