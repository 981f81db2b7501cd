"""The trace of a push, for the webhook that shows its effect."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("push_intents", sa.Column("traceparent", sa.Text()))


def downgrade() -> None:
    op.drop_column("push_intents", "traceparent")
