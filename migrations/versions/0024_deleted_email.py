"""An index of the e-mail addresses of deleted customers, for the search of operators."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "customers_deleted_email",
        "customers",
        [sa.text('"left"(email, 255)'), "id"],
        postgresql_where=sa.text("deleted_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("customers_deleted_email", "customers")
