"""Room for updates on their page, the cheapest compression, indexes of the queue without its id."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_UPDATED = ("customers", "external_mappings")
_MESSAGES = (("sync_events", "payload"), ("outbox", "envelope"))
_INDEXES = {"outbox_due": ["topic", "available_at"], "outbox_key": ["topic", "key"]}


def upgrade() -> None:
    """No table is rewritten: free space and compression hold for new rows."""
    _replace(_INDEXES)
    for table in _UPDATED:
        # An update that finds room on its page changes no index.
        op.execute(f"ALTER TABLE {table} SET (fillfactor = 65)")
    for table, column in _MESSAGES:
        # A server that was built without lz4 keeps its default.
        op.execute(f"""
            DO $$ BEGIN
                ALTER TABLE {table} ALTER COLUMN {column} SET COMPRESSION lz4;
            EXCEPTION WHEN feature_not_supported THEN NULL;
            END $$
        """)


def downgrade() -> None:
    _replace({index: [*columns, "id"] for index, columns in _INDEXES.items()})
    for table, column in _MESSAGES:
        op.execute(f"ALTER TABLE {table} ALTER COLUMN {column} SET COMPRESSION default")
    for table in _UPDATED:
        op.execute(f"ALTER TABLE {table} RESET (fillfactor)")


def _replace(indexes: dict[str, list[str]]) -> None:
    """The queue always has an index."""
    for index, columns in indexes.items():
        op.create_index(f"{index}_new", "outbox", columns, unique=False)
    for index in indexes:
        op.drop_index(index, table_name="outbox")
    for index in indexes:
        op.execute(f"ALTER INDEX {index}_new RENAME TO {index}")
