"""The tables of operators: their keys, sessions, actions and runs."""

from sqlalchemy import Column, Index, LargeBinary, Table, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB

from zenskar.db.schema.columns import id_column, metadata, time_column

api_keys = Table(
    "api_keys",
    metadata,
    id_column(),
    Column("name", Text, nullable=False),
    Column("prefix", Text, nullable=False, unique=True),
    Column("hash", LargeBinary, nullable=False),
    Column("scope", Text, nullable=False, server_default=text("'admin'")),
    time_column("expires_at"),
    time_column("created_at", nullable=False),
    time_column("last_used_at"),
    time_column("revoked_at"),
)

console_sessions = Table(
    "console_sessions",
    metadata,
    Column("token_hash", LargeBinary, primary_key=True),
    Column("key_id", Uuid(as_uuid=False), nullable=False),
    time_column("created_at", nullable=False),
    time_column("seen_at", nullable=False),
)

operator_actions = Table(
    "operator_actions",
    metadata,
    id_column(),
    time_column("at", nullable=False),
    Column("by", Text, nullable=False),
    Column("place", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("reason", Text),
    Column("request", JSONB, nullable=False, server_default=text("'{}'")),
    Column("state", Text, nullable=False),
    Column("result", JSONB, nullable=False, server_default=text("'{}'")),
    time_column("ended_at"),
    Index("operator_actions_target", "target", "id"),
    Index("operator_actions_kind", "action", "id"),
    Index("operator_actions_state", "state", "id"),
)

operator_runs = Table(
    "operator_runs",
    metadata,
    id_column(),
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
    time_column("lease_until"),
    time_column("created_at", nullable=False),
    time_column("started_at"),
    time_column("ended_at"),
    Index(
        "operator_runs_open",
        "source_system",
        "entity_type",
        unique=True,
        postgresql_where=text("ended_at IS NULL"),
    ),
)
