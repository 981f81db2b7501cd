"""Indexes for the deletion of old idempotency keys, and for the audit by state."""

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("idempotency_keys_created", "idempotency_keys", ["created_at"])
    op.create_index("operator_actions_state", "operator_actions", ["state", "id"])


def downgrade() -> None:
    op.drop_index("operator_actions_state", "operator_actions")
    op.drop_index("idempotency_keys_created", "idempotency_keys")
