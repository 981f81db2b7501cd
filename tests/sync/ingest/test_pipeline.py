"""Webhooks that are read in one batch."""

from dataclasses import replace

import pytest

from tests.support.fake import FakeIntegration
from tests.support.flow import open_flow
from zenskar.errors import BadSignature, CallFailed, InvalidInput, SchemaViolation
from zenskar.model.integration import ExternalObject
from zenskar.sync.event_reader import ReceivedWebhook
from zenskar.sync.ingest.pipeline import WebhookPipeline


async def test_what_fails_in_a_step_stops_no_other(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    translate = FakeIntegration.to_canonical

    def to_canonical(self: FakeIntegration, seen: ExternalObject) -> object:
        if (seen.data or {})["name"] == "bug":
            raise ZeroDivisionError
        return {"name": 7} if (seen.data or {})["name"] == "seven" else translate(self, seen)

    monkeypatch.setattr(FakeIntegration, "to_canonical", to_canonical)
    async with open_flow(database_url, working=False) as flow:
        system = flow.systems["fake"]
        for name in ("Ada", "unsigned", "cut", "bug", "seven", "Eve"):
            system.create(name=name)
        ada, unsigned, cut, bug, seven, eve = system.webhooks
        webhooks = (
            ada,
            replace(unsigned, headers={"x-signature": "bad"}),
            replace(cut, body=cut.body[:-1]),
            bug,
            seven,
            eve,
        )
        reader = WebhookPipeline(flow.runtime.context, flow.runtime.schemas["event"])
        found = reader.read(
            [ReceivedWebhook("fake", webhook, str(n)) for n, webhook in enumerate(webhooks)]
        )
    errors = [type(item.error) for item in found]
    nothing = type(None)
    assert errors == [nothing, BadSignature, InvalidInput, nothing, nothing, nothing]
    events = [event for item in found for event in item.events]
    assert [type(event.error) for event in events] == [
        nothing,
        CallFailed,
        SchemaViolation,
        nothing,
    ]
    made = [(e.made.envelope.correlation_id, e.made.key) for e in events if not e.error]
    assert [name for name, _ in made] == ["0", "5"]
    assert made[0][1] != made[1][1]
