"""Personal data and secrets reach no log line, metric, error answer or list of failures."""

import json
import logging
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.support.api import Api, body_of, event, open_api
from tests.support.fake import FakeError
from tests.support.flow import running_worker
from zenskar import FailureKind, Push

CANARY = "zyxcanary"
PERSON: dict[str, Any] = {
    "name": f"Ada {CANARY}",
    "email": f"{CANARY}@example.com",
    "phone": f"+31 {CANARY}",
    "address": {"line1": f"{CANARY} street 1", "city": CANARY},
    "metadata": {"plan": CANARY},
}
WRONG_BODIES: tuple[dict[str, Any], ...] = (
    {**PERSON, "email": 7},
    {**PERSON, "name": [CANARY]},
    {**PERSON, "phone": CANARY * 100},
    {**PERSON, "metadata": {"plan": {"deep": CANARY}}},
)
FAILURES = (
    RuntimeError(f"no room for {CANARY}"),
    FakeError(FailureKind.REJECTED),
    KeyError(CANARY),
)


async def test_no_output_holds_personal_data_or_a_secret(
    database_url: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG, logger="zenskar")
    async with open_api(database_url, retry_max_attempts=1) as api:
        answers = [*await refused_requests(api), *await refused_webhooks(api)]
        await received_webhooks(api)
        await failing_pushes(api)
        answers += await shown(api)
    lines = [record.getMessage() + str(record.__dict__) for record in caplog.records]
    logged = "\n".join([*lines, *capsys.readouterr()])
    # Each way has left its trace in the log, so the canary had the chance to be there.
    for name in ("request", "webhook_refused", "plugin_failed", "sync_attempt_failed"):
        assert name in logged
    assert CANARY not in logged.lower()
    assert CANARY not in "\n".join(answers).lower()


def about(event_id: str, **person: Any) -> dict[str, Any]:
    """Return the body of a webhook about a person."""
    body = event(event_id)
    body["object"] |= person
    return body


async def refused_requests(api: Api) -> list[str]:
    """Return the error answers to requests with a canary."""
    keyed = {"Idempotency-Key": "key-1", "Authorization": f"Bearer {CANARY}"}
    post, get = api.client.post, api.client.get
    await body_of(await post("/customers", json=PERSON, headers=keyed), 201)
    sent = [await post("/customers", json=each) for each in WRONG_BODIES]
    sent.append(await post("/customers", json=PERSON | {"name": "Eve"}, headers=keyed))
    sent.append(await post("/customers", data=f'{{"name": "{CANARY}'.encode()))
    sent += [await get(path) for path in (f"/customers/{CANARY}", f"/customers?limit={CANARY}")]
    return [await error_of(each) for each in sent]


async def refused_webhooks(api: Api) -> list[str]:
    """Return the error answers to webhooks that prove or hold nothing."""
    cut = json.dumps(about("evt_0", **PERSON)).encode()[:-1]
    sent = [
        await api.webhook(about("evt_0", **PERSON), signature=CANARY),
        await api.webhook(cut),
        await api.webhook(about("evt_0", **PERSON), source="unknown"),
    ]
    return [await error_of(each) for each in sent]


async def received_webhooks(api: Api) -> None:
    """Send webhooks that are applied, that cannot be read, and that make the plugin fail."""
    unreadable = about("evt_2", **PERSON | {"name": {"first": CANARY}})
    without_time = about("evt_3", **PERSON)
    del without_time["at"]
    for body in (about("evt_1", **PERSON), unreadable, without_time, [CANARY]):
        await body_of(await api.webhook(body), 200)
    async with running_worker(api.flow.runtime):
        await api.flow.settle()


async def failing_pushes(api: Api) -> None:
    """Make a push fail in each way, with the canary in the text of the error."""
    system = api.flow.systems["fake"]
    for number, failure in enumerate(FAILURES):

        def fail(_push: Push, failure: Exception = failure) -> None:
            raise failure

        system.before = fail
        await api.create(**PERSON | {"name": f"{CANARY} {number}"})
        async with running_worker(api.flow.runtime):
            await api.flow.settle()
    assert await api.flow.scalar("SELECT count(*) > 3 FROM sync_events WHERE status = 'dead'")


async def shown(api: Api) -> list[str]:
    """Return what the API shows beside records and the history of one event, which have values."""
    listed = await body_of(await api.client.get("/sync-events"), 200)
    paths = [f"/dead-letters/{e['id']}" for e in listed["data"] if e["status"] == "dead"]
    paths += ["/metrics", "/connections", "/dead-letters", "/health/ready", "/openapi.json"]
    return [json.dumps(listed), *[await (await api.client.get(path)).text() for path in paths]]


async def error_of(response: ClientResponse) -> str:
    assert response.status >= 400
    return f"{response.headers} {await response.text()}"
