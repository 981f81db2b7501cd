"""Webhooks that are read together."""

from dataclasses import replace

import pytest

from tests.support.fake import FakeIntegration
from tests.support.flow import open_flow
from zenskar.errors import BadSignature, InvalidInput, SchemaViolation, Unavailable
from zenskar.model.integration import ExternalObject
from zenskar.sync.webhook_reader import Arrival, WebhookReader


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
        reader = WebhookReader(flow.runtime.context, flow.runtime.schemas["event"])
        found = reader.read(
            [Arrival("fake", webhook, str(n)) for n, webhook in enumerate(webhooks)]
        )
    errors = [type(reading.error) for reading in found]
    nothing = type(None)
    assert errors == [nothing, BadSignature, InvalidInput, Unavailable, SchemaViolation, nothing]
    assert isinstance(found[3].error, Unavailable)
    assert isinstance(found[3].error.__cause__, Exception)
    made = [(m.envelope.correlation_id, m.key) for r in found if not r.error for m in r.messages]
    assert [name for name, _ in made] == ["0", "5"]
    assert made[0][1] != made[1][1]
