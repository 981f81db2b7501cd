"""Envelopes survive the bus and are valid."""

import pytest

from zenskar.errors import SchemaViolation
from zenskar.model.envelope import Envelope, EnvelopeData, ObservedObject
from zenskar.schema_catalog import core_schemas

DATA = {
    "schema_version": 1,
    "direction": "outbound",
    "source_system": "stripe",
    "entity_type": "customer",
    "entity_id": "0198d2a0-0000-7000-8000-000000000000",
    "record_version": 1,
    "document": None,
}


def envelope(**changes: object) -> Envelope:
    values = {
        "id": "1",
        "source": "zenskar",
        "type": "customer.created",
        "subject": "customer:1",
        "time": "2026-01-01T00:00:00+00:00",
        "data": DATA,
        "correlation_id": "c",
    }
    return Envelope(**(values | changes))  # type: ignore[arg-type]


def test_reading_undoes_writing() -> None:
    traceparent = f"00-{'a' * 32}-{'b' * 16}-01"
    full = envelope(causation_id="e", traceparent=traceparent)
    assert Envelope.from_json(full.to_json()) == full


def test_the_types_name_the_members_of_the_schema() -> None:
    schema = core_schemas()["event"].document["$defs"]
    known = {
        name for kind in ("outbound", "look", "inbound") for name in schema[kind]["properties"]
    }
    assert set(EnvelopeData.__annotations__) == known
    observed = schema["inbound"]["properties"]["object"]["properties"]
    assert set(ObservedObject.__annotations__) == set(observed)


def test_an_envelope_meets_its_schema() -> None:
    core_schemas()["event"].check(envelope().to_json())


@pytest.mark.parametrize(
    ("name", "value"),
    [("time", "yesterday"), ("id", ""), ("correlationid", "x" * 129), ("specversion", "0.3")],
)
def test_a_wrong_envelope_is_refused_by_name(name: str, value: object) -> None:
    body = envelope().to_json() | {name: value}
    with pytest.raises(SchemaViolation) as caught:
        core_schemas()["event"].check(body)
    assert [v.pointer for v in caught.value.violations] == [f"/{name}"]
