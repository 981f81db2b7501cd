"""Find customers by the start of their e-mail address: an index accepts no long values."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_LIVING = sa.text("deleted_at IS NULL")


def upgrade() -> None:
    """The running release finds the same customers without the old index, slower."""
    start = [sa.text('"left"(email, 255)'), "id"]
    op.create_index("customers_email_start", "customers", start, postgresql_where=_LIVING)
    op.drop_index("customers_email", table_name="customers", postgresql_where=_LIVING)


def downgrade() -> None:
    """Fails while an e-mail address is longer than the limit of an index."""
    op.create_index("customers_email", "customers", ["email", "id"], postgresql_where=_LIVING)
    op.drop_index("customers_email_start", table_name="customers", postgresql_where=_LIVING)
