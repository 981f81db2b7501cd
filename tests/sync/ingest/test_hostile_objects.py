"""Hostile objects: each webhook is accepted, and at rest both sides are equal or it is reported."""

import asyncio
import itertools
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api import Api, body_of, open_api
from tests.support.drift import reconcile
from zenskar.db.driver.storable import is_indexable, storable
from zenskar.model.fields import CUSTOMER, flatten

EXAMPLES = 60
ANY_TEXT = st.text(st.characters(codec=None), max_size=12)
TEXT = ANY_TEXT | st.sampled_from(["", "\0", "\ud800", "\udfff\ud83d", "\ufffd"]) | ANY_TEXT.map(
    lambda text: (text or "x") * 400
)  # fmt: skip
ODD = st.booleans() | st.integers(-(2**60), 2**60) | st.lists(TEXT, max_size=2)
RARELY_ODD = st.integers(0, 19).flatmap(lambda rng: ODD if rng == 19 else st.none())
FIELD = st.none() | TEXT | TEXT | RARELY_ODD
LINES = ("line1", "line2", "city", "state", "postal_code", "country")
JSON = st.recursive(
    st.none() | ODD | TEXT | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)
OBJECTS = st.fixed_dictionaries(
    {"name": FIELD, "email": FIELD, "phone": FIELD},
    optional={
        "address": st.none()
        | st.dictionaries(st.sampled_from(LINES), st.none() | TEXT, max_size=6)
        | RARELY_ODD,
        "metadata": st.dictionaries(TEXT, TEXT, max_size=4) | RARELY_ODD,
        "unread": JSON,
    },
)
ENDS = st.sampled_from([""] * 9 + ["\0", "\udc00", "i" * 600]) | st.just("")


def readable(held: dict[str, Any]) -> bool:
    """Return whether the read fields of an object have valid types."""
    texts = all(isinstance(held[name], str | None) for name in ("name", "email", "phone"))
    parts = [held.get("address"), held.get("metadata")]
    return texts and all(isinstance(part, dict | None) for part in parts)


async def bring(api: Api, external_id: str, values: dict[str, Any]) -> None:
    """Create an external object, and send its webhook."""
    system = api.flow.systems["fake"]
    system.objects[external_id] = values
    system.announce("created", external_id)
    taken = await body_of(await api.webhook(system.webhooks.pop().body), 200)
    assert taken["accepted"] + taken.get("dead", 0) == 1


async def told(api: Api) -> set[str]:
    letters = await api.flow.rows("SELECT external_id FROM sync_events WHERE status = 'dead'")
    return {row["external_id"] for row in letters}


async def shown(api: Api) -> dict[str, dict[str, Any]]:
    """Return the customers by their external ids."""
    page = await body_of(await api.client.get("/customers?limit=200"), 200)
    return {row["external"][0]["external_id"]: row for row in page["data"]}


async def test_all_that_an_external_system_may_hold_is_equal_or_told(database_url: str) -> None:
    loop, numbers = asyncio.get_running_loop(), itertools.count()
    async with open_api(database_url, working=True) as api:

        @settings(
            max_examples=EXAMPLES, deadline=None, database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(OBJECTS, ENDS)
        def run(values: dict[str, Any], end: str) -> None:
            made = bring(api, f"o{next(numbers)}{end}", values)
            asyncio.run_coroutine_threadsafe(made, loop).result(60)

        await asyncio.to_thread(run)
        await api.flow.settle()
        known, dead = await shown(api), await told(api)
        objects = api.flow.systems["fake"].objects
        for external_id, held in objects.items():
            assert held is not None
            assert (external_id in known) == (readable(held) and is_indexable(external_id))
            if external_id not in known:
                continue
            wanted = storable({name: held.get(name) for name in (*CUSTOMER.plain, "metadata")})
            row = known[external_id]
            assert flatten(CUSTOMER, row) == flatten(CUSTOMER, wanted)
            answer = await api.client.put(f"/customers/{row['id']}", json=row | {"phone": "7"})
            assert answer.status == 200, await answer.text()
        assert known, "no example was readable"
        assert len(objects) == len(known) + len(dead)

        await api.flow.settle()
        outbound = await api.flow.events("outbound")
        assert {event["status"] for event in outbound} <= {"succeeded"}
        assert all(row["external"][0]["in_sync"] for row in (await shown(api)).values())
        report = await reconcile(api.flow)
        assert (report.complete, dict(report.found)) == (True, {})
        assert report.invalid == len(dead)
