"""The tables of records and their synchronization, as the migrations leave them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Identity,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from zenskar.db.schema.columns import id_column, metadata, time_column


def email_key(email: str) -> str:
    """Return the SQL of an e-mail address as it is matched: without outer space and without case.

    The locale of the database has no influence. An index row holds at most 2,700 bytes, and
    external systems hold longer addresses.
    """
    return f'lower(btrim("left"({email}, 255)) COLLATE "C")'


customers = Table(
    "customers",
    metadata,
    id_column(),
    Column("name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("address", JSONB(none_as_null=True)),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    Column("version", Integer, nullable=False, server_default=text("1")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    time_column("deleted_at"),
    time_column("erased_at"),
    # For the same reason as that of `email_key`, this holds the start of an address.
    Index(
        "customers_email_start",
        text('"left"(email, 255)'),
        "id",
        postgresql_where=text("deleted_at IS NULL"),
    ),
    # For the search of operators. A living row has no entry, so only a delete writes here.
    Index(
        "customers_deleted_email",
        text('"left"(email, 255)'),
        "id",
        postgresql_where=text("deleted_at IS NOT NULL"),
    ),
    Index(
        "customers_email_key",
        text(email_key("email")),
        "id",
        postgresql_where=text("deleted_at IS NULL"),
    ),
    # Space for the next version of a row on its page: such an update changes no index.
    postgresql_with={"fillfactor": 65},
)

erasure_requests = Table(
    "erasure_requests",
    metadata,
    Column("entity_id", Uuid(as_uuid=False), primary_key=True),
    Column("source_system", Text, nullable=False),
    time_column("requested_at", nullable=False),
)

external_mappings = Table(
    "external_mappings",
    metadata,
    Column("source_system", Text, nullable=False),
    Column("entity_type", Text, nullable=False),
    Column("external_id", Text, nullable=False),
    Column("entity_id", Uuid(as_uuid=False)),
    Column("base", JSONB, nullable=False),
    Column("asof_low", BigInteger, nullable=False),
    Column("asof_high", BigInteger, nullable=False),
    Column("revision", Integer, nullable=False, server_default=text("1")),
    Column("fetch_revision", Integer),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("detached", Boolean, nullable=False, server_default=text("false")),
    Column("synced_version", Integer),
    Column("carried", ARRAY(Text)),
    Column("version", Text),
    Column("memo", JSONB),
    Column("merged_into", Text),
    Column("ended_record", Boolean, nullable=False, server_default=text("false")),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    # The column with the most values comes first. Otherwise, without statistics, as on a new
    # database, a search for a few ids would read all rows of a source system.
    PrimaryKeyConstraint("external_id", "source_system", "entity_type"),
    Index(
        "external_mappings_one_per_entity",
        "entity_id",
        "source_system",
        "entity_type",
        unique=True,
        postgresql_where=text("state = 'active'"),
    ),
    Index("external_mappings_entity", "entity_id"),
    postgresql_with={"fillfactor": 65},
)

sync_events = Table(
    "sync_events",
    metadata,
    id_column(),
    Column("direction", Text, nullable=False),
    Column("source_system", Text, nullable=False),
    Column("entity_type", Text),
    Column("entity_id", Uuid(as_uuid=False)),
    Column("external_id", Text),
    Column("event_type", Text, nullable=False),
    Column("external_event_id", Text),
    Column("correlation_id", Text, nullable=False),
    Column("causation_id", Text),
    Column("status", Text, nullable=False),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    time_column("next_attempt_at"),
    Column("error_kind", Text),
    Column("error_message", Text),
    Column("payload", Text),
    time_column("created_at", nullable=False),
    time_column("updated_at", nullable=False),
    Index(
        "sync_events_external",
        "external_event_id",
        "source_system",
        unique=True,
        postgresql_where=text("external_event_id IS NOT NULL"),
    ),
    Index("sync_events_entity", "entity_id", "id"),
    Index(
        "sync_events_unowned",
        "source_system",
        "external_id",
        postgresql_where=text("entity_id IS NULL AND external_id IS NOT NULL"),
    ),
    Index(
        "sync_events_deletes",
        "source_system",
        "updated_at",
        postgresql_where=text("reason = 'deleted'"),
    ),
    Index(
        "sync_events_unfinished",
        "status",
        "id",
        postgresql_where=text("status NOT IN ('succeeded', 'ignored')"),
    ),
)

sync_event_history = Table(
    "sync_event_history",
    metadata,
    Column("id", BigInteger, Identity(), nullable=False),
    Column("event_id", Uuid(as_uuid=False), nullable=False),
    Column(
        "at",
        DateTime(timezone=True),
        nullable=False,
        server_default=func.clock_timestamp(),
    ),
    Column("status", Text, nullable=False),
    Column("detail", Text),
    PrimaryKeyConstraint("event_id", "id"),
)

push_intents = Table(
    "push_intents",
    metadata,
    Column("id", Text, primary_key=True),
    Column("source_system", Text, nullable=False),
    Column("entity_type", Text, nullable=False),
    Column("entity_id", Uuid(as_uuid=False), nullable=False),
    Column("external_id", Text),
    Column("sync_event_id", Uuid(as_uuid=False), nullable=False),
    Column("kind", Text, nullable=False),
    Column("changes", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("revision", Integer, nullable=False),
    Column("state", Text, nullable=False),
    Column("key_spent", Boolean, nullable=False, server_default=text("false")),
    time_column("lease_until"),
    time_column("created_at", nullable=False),
    time_column("resent_at"),
    time_column("resolved_at"),
    Column("traceparent", Text),
    Index(
        "push_intents_open",
        "entity_id",
        "source_system",
        postgresql_where=text("state IN ('sent', 'unknown')"),
    ),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("topic", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("source_system", Text, nullable=False),
    Column("envelope", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    time_column("available_at", nullable=False),
    Column("parked", Boolean, nullable=False, server_default=text("false")),
    Column("headers", Text),
    time_column("claimed_until"),
    Column("claimed_by", Text),
    time_column("created_at", nullable=False),
    # Without the id: PostgreSQL expects one row of a queue that was empty when it was analyzed.
    # Then any index with the id would seem as good as the primary key.
    Index("outbox_due", "topic", "available_at"),
    Index("outbox_key", "topic", "key"),
    Index("outbox_parked", "source_system", postgresql_where=text("parked")),
    # Space for claims: an update on the same page changes no index.
    postgresql_with={"fillfactor": 50},
)

connections = Table(
    "connections",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", Text, nullable=False, server_default=text("'active'")),
    Column("reason", Text),
    Column("error_kind", Text),
    Column("error_message", Text),
    time_column("error_at"),
    time_column("paused_at"),
    time_column("deletes_allowed_until"),
    time_column("held_until"),
    time_column("resumed_at"),
    Column("clock_offset_low", BigInteger),
    Column("clock_offset_high", BigInteger),
    time_column("clock_measured_at"),
    time_column("deletes_allowed_through"),
    Column("account", Text),
    Column("other_account", Text),
    time_column("updated_at", nullable=False),
)

connection_history = Table(
    "connection_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    time_column("at", nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("error_kind", Text),
    Column("error_message", Text),
    Column("by", Text),
    Index("connection_history_name", "name", "at"),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("entity_id", Uuid(as_uuid=False), nullable=False),
    Column("response", Text),
    time_column("created_at", nullable=False),
    # The deletion of old keys.
    Index("idempotency_keys_created", "created_at"),
)
