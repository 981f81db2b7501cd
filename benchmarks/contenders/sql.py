"""The hand-written statements: dedupe, customer and mapping of a batch in one transaction."""

import uuid
from typing import Any

EVENTS = """
    INSERT INTO sync_events (id, direction, source_system, entity_type, entity_id, external_id,
        event_type, external_event_id, correlation_id, payload, status)
    SELECT t.id, 'inbound', 'stripe', 'customer', m.entity_id, t.external_id, t.event_type,
        t.external_event_id, t.correlation_id, t.payload, 'succeeded'
    FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
         AS t(id, external_id, event_type, external_event_id, correlation_id, payload)
    LEFT JOIN external_mappings AS m ON m.source_system = 'stripe'
         AND m.entity_type = 'customer' AND m.external_id = t.external_id
    ON CONFLICT DO NOTHING
    RETURNING external_event_id, external_id, entity_id
"""
CUSTOMERS = """
    INSERT INTO customers AS c (id, name, email, phone, address, metadata)
    SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[], $5::jsonb[], $6::jsonb[])
    ON CONFLICT (id) DO UPDATE
    SET name = excluded.name, email = excluded.email, phone = excluded.phone,
        address = excluded.address, metadata = excluded.metadata, version = c.version + 1,
        updated_at = now()
"""
MAPPINGS = """
    INSERT INTO external_mappings AS m (source_system, entity_type, external_id, entity_id, base,
        asof_low, asof_high)
    SELECT 'stripe', 'customer', t.*
    FROM unnest($1::text[], $2::uuid[], $3::jsonb[], $4::bigint[], $5::bigint[]) AS t
    ON CONFLICT (source_system, entity_type, external_id) DO UPDATE
    SET base = excluded.base, asof_low = excluded.asof_low, asof_high = excluded.asof_high,
        revision = m.revision + 1, updated_at = now()
    WHERE excluded.asof_low >= m.asof_low
"""


async def apply(connection: Any, messages: list[tuple[dict[str, Any], str]], dumps: Any) -> None:
    """Write a batch of messages, each with its text, as one transaction."""
    async with connection.transaction():
        rows = await connection.fetch(
            EVENTS,
            [body["id"] for body, _ in messages],
            [body["data"]["object"]["external_id"] for body, _ in messages],
            [body["type"] for body, _ in messages],
            [body["data"]["external_event_id"] for body, _ in messages],
            [body["correlationid"] for body, _ in messages],
            [text for _, text in messages],
        )
        fresh = {row["external_event_id"]: row["entity_id"] for row in rows}
        latest: dict[str, tuple[Any, dict[str, Any]]] = {}
        for body, _ in messages:
            data = body["data"]
            if data["external_event_id"] not in fresh:
                continue
            external_id = data["object"]["external_id"]
            known = fresh[data["external_event_id"]]
            if known is None and external_id in latest:
                known = latest[external_id][0]
            latest[external_id] = (known or uuid.uuid4(), data)
        if not latest:
            return
        documents = [data["object"]["document"] for _, data in latest.values()]
        ids = [entity_id for entity_id, _ in latest.values()]
        await connection.execute(
            CUSTOMERS,
            ids,
            [document["name"] for document in documents],
            [document["email"] for document in documents],
            [document["phone"] for document in documents],
            [dumps(document["address"]) for document in documents],
            [dumps(document["metadata"]) for document in documents],
        )
        await connection.execute(
            MAPPINGS,
            list(latest),
            ids,
            [dumps(document) for document in documents],
            [data["occurred"][0] for _, data in latest.values()],
            [data["occurred"][1] for _, data in latest.values()],
        )
