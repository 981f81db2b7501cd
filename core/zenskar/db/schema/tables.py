"""The tables, as the migrations leave them."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Double,
    Identity,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    Uuid,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

metadata = MetaData()


def _id() -> Column[str]:
    return Column("id", Uuid(as_uuid=False), primary_key=True)


def _time(name: str, *, nullable: bool = True) -> Column[object]:
    default = None if nullable else func.now()
    return Column(name, DateTime(timezone=True), nullable=nullable, server_default=default)


def email_key(email: str) -> str:
    """Return the SQL of an e-mail address as it is matched: without outer space and without case.

    The locale of the database has no influence. An index row holds at most 2,700 bytes, and
    external systems hold longer addresses.
    """
    return f'lower(btrim("left"({email}, 255)) COLLATE "C")'


customers = Table(
    "customers",
    metadata,
    _id(),
    Column("name", Text),
    Column("email", Text),
    Column("phone", Text),
    Column("address", JSONB(none_as_null=True)),
    Column("metadata", JSONB, nullable=False, server_default=text("'{}'")),
    Column("version", Integer, nullable=False, server_default=text("1")),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
    _time("deleted_at"),
    _time("erased_at"),
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
    _time("requested_at", nullable=False),
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
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
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
    _id(),
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
    _time("next_attempt_at"),
    Column("error_kind", Text),
    Column("error_message", Text),
    Column("payload", Text),
    _time("created_at", nullable=False),
    _time("updated_at", nullable=False),
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
    _time("lease_until"),
    _time("created_at", nullable=False),
    _time("resolved_at"),
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
    _time("available_at", nullable=False),
    Column("parked", Boolean, nullable=False, server_default=text("false")),
    Column("headers", Text),
    _time("claimed_until"),
    Column("claimed_by", Text),
    _time("created_at", nullable=False),
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
    _time("error_at"),
    _time("paused_at"),
    _time("deletes_allowed_until"),
    _time("held_until"),
    _time("resumed_at"),
    Column("clock_offset_low", BigInteger),
    Column("clock_offset_high", BigInteger),
    _time("clock_measured_at"),
    _time("deletes_allowed_through"),
    Column("account", Text),
    Column("other_account", Text),
    _time("updated_at", nullable=False),
)

connection_history = Table(
    "connection_history",
    metadata,
    Column("id", BigInteger, Identity(), primary_key=True),
    Column("name", Text, nullable=False),
    _time("at", nullable=False),
    Column("state", Text, nullable=False),
    Column("reason", Text),
    Column("error_kind", Text),
    Column("error_message", Text),
    Column("by", Text),
    Index("connection_history_name", "name", "at"),
)

api_keys = Table(
    "api_keys",
    metadata,
    _id(),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
    Column("scope", Text, nullable=False, server_default=text("'admin'")),
    _time("expires_at"),
    _time("created_at", nullable=False),
    _time("last_used_at"),
    _time("revoked_at"),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("key_id", Uuid(as_uuid=False), nullable=False),
    _time("created_at", nullable=False),
    _time("seen_at", nullable=False),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("scope", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("request_hash", LargeBinary, nullable=False),
    Column("entity_id", Uuid(as_uuid=False), nullable=False),
    Column("response", Text),
    _time("created_at", nullable=False),
)

schedules = Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", JSONB, nullable=False, server_default=text("'{}'")),
    _time("due_at", nullable=False),
)

call_limits = Table(
    "call_limits",
    metadata,
    Column("source_system", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("seconds", Double, nullable=False),
    Column("calls", Integer, nullable=False),
    Column("slot", BigInteger, nullable=False, server_default=text("0")),
    Column("taken", ARRAY(Integer), nullable=False, server_default=text("'{}'")),
    Column("others", Integer, nullable=False, server_default=text("0")),
    Column("reported_calls", Integer),
    _time("reported_until"),
    _time("held_until"),
    _time("updated_at", nullable=False),
    PrimaryKeyConstraint("source_system", "name", "seconds"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", JSONB, nullable=False),
    _time("updated_at", nullable=False),
)

survey_seen = Table(
    "survey_seen",
    metadata,
    Column("run", Text, primary_key=True),
    Column("external_id", Text, primary_key=True),
    Column("suspect", Boolean, nullable=False, server_default=text("false")),
)

comparisons = Table(
    "comparisons",
    metadata,
    Column("source_system", Text, nullable=False),
    Column("entity_type", Text, nullable=False),
    Column("found", JSONB, nullable=False),
    Column("remaining", JSONB, nullable=False),
    Column("not_read", Integer, nullable=False),
    _time("ended_at", nullable=False),
    PrimaryKeyConstraint("source_system", "entity_type"),
)

operator_actions = Table(
    "operator_actions",
    metadata,
    _id(),
    _time("at", nullable=False),
    Column("by", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("reason", Text),
    Column("request", JSONB, nullable=False, server_default=text("'{}'")),
    Column("state", Text, nullable=False),
    Column("result", JSONB, nullable=False, server_default=text("'{}'")),
    _time("ended_at"),
    Index("operator_actions_target", "target", "id"),
    Index("operator_actions_kind", "action", "id"),
)

operator_runs = Table(
    "operator_runs",
    metadata,
    _id(),
    Column("kind", Text, nullable=False),
    Column("source_system", Text, nullable=False),
    Column("entity_type", Text, nullable=False, server_default=text("''")),
    Column("options", JSONB, nullable=False, server_default=text("'{}'")),
    Column("plan_of", Uuid(as_uuid=False)),
    Column("by", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("reason", Text),
    Column("state", Text, nullable=False, server_default=text("'waiting'")),
    Column("progress", JSONB, nullable=False, server_default=text("'{}'")),
    Column("result", JSONB, nullable=False, server_default=text("'{}'")),
    Column("plan", Text),
    Column("problem", Text),
    Column("owner", Text),
    _time("lease_until"),
    _time("created_at", nullable=False),
    _time("started_at"),
    _time("ended_at"),
    Index(
        "operator_runs_open",
        "source_system",
        "entity_type",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
)

workers = Table(
    "workers",
    metadata,
    _id(),
    Column("roles", Text, nullable=False),
    _time("started_at", nullable=False),
    _time("seen_at", nullable=False),
    Column("problem", Text),
    Column("host", Text),
    Column("version", Text),
)

log_positions = Table(
    "log_positions",
    metadata,
    Column("topic", Text, primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("end_offset", BigInteger, nullable=False),
    Column("went_back", Boolean, nullable=False, server_default=text("false")),
    _time("updated_at", nullable=False),
)
