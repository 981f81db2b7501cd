"""The tables of workers: schedules, call limits, checkpoints, results and positions."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from zenskar.db.schema.columns import id_column, metadata, time_column

schedules = Table(
    "schedules",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", JSONB, nullable=False, server_default=text("'{}'")),
    time_column("due_at", nullable=False),
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
    time_column("reported_until"),
    time_column("held_until"),
    time_column("updated_at", nullable=False),
    PrimaryKeyConstraint("source_system", "name", "seconds"),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("name", Text, primary_key=True),
    Column("state", JSONB, nullable=False),
    time_column("updated_at", nullable=False),
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
    time_column("ended_at", nullable=False),
    PrimaryKeyConstraint("source_system", "entity_type"),
)

workers = Table(
    "workers",
    metadata,
    id_column(),
    Column("roles", Text, nullable=False),
    time_column("started_at", nullable=False),
    time_column("seen_at", nullable=False),
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
    time_column("updated_at", nullable=False),
)
