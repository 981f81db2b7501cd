"""Requests over HTTP for work that would happen later."""

from collections.abc import Sequence

from tests.support.api import UNKNOWN_ID, Api, body_of, open_api, problem_of
from zenskar import Health


async def actions(api: Api) -> list[tuple[str, str, str | None]]:
    found = (await body_of(await api.client.get("/audit"), 200))["data"]
    return [(each["action"], each["target"], each["reason"]) for each in found]


async def prompted(api: Api, path: str, source: str = "fake") -> Sequence[str]:
    answer = await api.client.post(path, params={"source": source}, headers={"X-Reason": "stale"})
    found: Sequence[str] = (await body_of(answer, 202))["connections"]
    return found


async def test_a_customer_is_fetched_and_pushed_now(database_url: str) -> None:
    async with open_api(database_url, working=True) as api:
        made = await api.create()
        await api.flow.settle()
        system, path = api.flow.systems["fake"], f"/customers/{made['id']}"
        (external_id,) = system.objects
        system.edit(external_id, name="Edited there")
        system.webhooks.clear()
        assert await prompted(api, f"{path}/fetch") == ["fake"]
        await api.flow.settle()
        assert (await api.flow.record(made["id"]))["name"] == "Edited there"
        assert await prompted(api, f"{path}/push") == ["fake"]
        await api.flow.settle()
        assert await actions(api) == [
            ("push", made["id"], "stale"),
            ("fetch", made["id"], "stale"),
        ]


async def test_unknown_customers_and_connections_are_404(api: Api) -> None:
    made = await api.create()
    for path in (
        f"/customers/{UNKNOWN_ID}/fetch",
        f"/customers/{UNKNOWN_ID}/push",
        "/customers/none/push",
        f"/customers/{made['id']}/fetch",
        f"/customers/{made['id']}/push?source=nothing",
        "/connections/nothing/poll",
        "/connections/nothing/check",
    ):
        await problem_of(await api.client.post(path), 404)
    assert await actions(api) == []


async def test_a_connection_is_checked_and_polled_now(api: Api) -> None:
    path = "/connections/fake/check"
    good = await body_of(await api.client.post(path), 200)
    assert (good["name"], good["ok"]) == ("fake", True)
    api.flow.systems["fake"].health = Health(ok=False, detail="the key is revoked")
    bad = await body_of(await api.client.post(path), 200)
    assert (bad["ok"], bad["detail"]) == (False, "the key is revoked")
    polled = await api.client.post("/connections/fake/poll", headers={"X-Reason": "stale"})
    assert await body_of(polled, 202) == {"name": "fake"}
    due = "SELECT due_at <= now() FROM schedules WHERE name = 'poll:fake'"
    assert await api.flow.scalar(due)
    assert await actions(api) == [
        ("poll", "fake", "stale"),
        ("check", "fake", None),
        ("check", "fake", None),
    ]
