"""The last request of a push, from which the time counts in which it may still arrive."""

import sqlalchemy as sa
from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("push_intents", sa.Column("resent_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    op.drop_column("push_intents", "resent_at")
