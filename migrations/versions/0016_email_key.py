"""An index of e-mail addresses without case, to match objects with records."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

_KEY = 'lower(btrim("left"(email, 255)) COLLATE "C")'


def upgrade() -> None:
    op.create_index(
        "customers_email_key",
        "customers",
        [sa.text(_KEY), "id"],
        postgresql_where=sa.text("deleted_at IS NULL"),
    )


def downgrade() -> None:
    op.drop_index("customers_email_key", table_name="customers")
