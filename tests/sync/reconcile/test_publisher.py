"""Reading calls retry transient failures, and snapshots become valid events."""

import asyncio
import random
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import orjson
import pytest

from tests.support.drift import execute
from tests.support.fake import FakeError
from tests.support.flow import Flow, open_flow
from zenskar import CallFailed, ExternalObject, FailureKind, Interval, Page
from zenskar.model.observation import ObservationKind
from zenskar.sync.reconcile.publisher import NotRead, PublishedSnapshots, SnapshotPublisher
from zenskar.sync.reconcile.reader import ExternalReader, RetryLimits, Snapshot, together
from zenskar.sync.resilience.rate_limit import RateLimitBackoff
from zenskar.sync.resilience.retry import RetryPolicy


def reader_of(
    flow: Flow, waits: list[float], *, attempts: int = 3, rate_limit_waits: int = 5
) -> ExternalReader:
    now = [0.0]

    async def sleep(seconds: float) -> None:
        waits.append(seconds)
        now[0] += seconds
        # The clock of the database advances by as much.
        await execute(
            flow,
            "UPDATE connections SET held_until = held_until - make_interval(secs => :s)",
            s=seconds,
        )

    backoff = RateLimitBackoff(random.Random(0), lambda: now[0])
    context = replace(flow.runtime.context, backoff=backoff)
    patience = RetryLimits(lambda _source: RetryPolicy(attempts, 1.0, 8.0), rate_limit_waits)
    return ExternalReader(context, patience, timeout_seconds=0.2, sleep=sleep)


def failing(*kinds: FailureKind) -> Callable[[str, str | None], None]:
    left = list(kinds)

    def fail(_hook: str, _about: str | None) -> None:
        if left:
            raise FakeError(left.pop(0))

    return fail


async def test_a_page_shows_when_it_was_taken(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        flow.systems["fake"].page_size = 1
        for name in ("Ada", "Grace"):
            flow.systems["fake"].create(name=name)
        before = time.time()
        page = await anext(reader_of(flow, []).pages("fake", "customer", None))
        after = time.time()
        (look,) = page.snapshots
        assert (look.seen.external_id, page.next_cursor) == ("obj_0", "1")
        tolerance = 2_000_000
        assert look.asof.low <= after * 1e6 - tolerance + 1e5
        assert before * 1e6 - tolerance - 1e5 <= look.asof.low
        assert after * 1e6 + tolerance - 1e5 <= look.asof.high <= after * 1e6 + tolerance + 1e5


async def test_what_passes_is_tried_again_and_a_rate_limit_uses_no_attempt(
    database_url: str,
) -> None:
    async with open_flow(database_url, working=False) as flow:
        limited, away = FailureKind.RATE_LIMITED, FailureKind.TRANSIENT
        flow.systems["fake"].reading = failing(limited, limited, away, limited, away)
        waits: list[float] = []
        page = await anext(reader_of(flow, waits).pages("fake", "customer", None))
        assert page.snapshots == ()
        assert len(flow.systems["fake"].pages) == 6
        assert len(waits) >= 5


@pytest.mark.parametrize(
    ("kinds", "calls"),
    [
        ([FailureKind.TRANSIENT] * 9, 3),
        ([FailureKind.UNKNOWN_OUTCOME] * 9, 3),
        ([FailureKind.RATE_LIMITED] * 9, 6),
        ([FailureKind.CREDENTIALS] * 9, 1),
        ([FailureKind.REJECTED] * 9, 1),
    ],
)
async def test_what_does_not_pass_fails(
    database_url: str, kinds: list[FailureKind], calls: int
) -> None:
    async with open_flow(database_url, working=False) as flow:
        system = flow.systems["fake"]
        system.reading = failing(*kinds)
        with pytest.raises(CallFailed) as caught:
            await anext(reader_of(flow, []).pages("fake", "customer", None))
        assert caught.value.failure.kind is kinds[0]
        assert len(system.pages) == calls


async def test_an_answer_that_never_comes_is_waited_for_in_vain(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:

        async def hang(_hook: str, _about: str | None) -> None:
            await asyncio.Event().wait()

        flow.systems["fake"].reading = hang
        with pytest.raises(CallFailed, match="no answer within"):
            await anext(reader_of(flow, [], attempts=1).pages("fake", "customer", None))


@pytest.mark.parametrize("answer", [Page((), "2"), None, []])
async def test_a_list_that_makes_no_sense_is_a_bug(
    database_url: str, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    async with open_flow(database_url, working=False) as flow:

        async def call(*_: Any, **__: Any) -> Any:
            return answer

        monkeypatch.setattr(flow.runtime.router, "call_async", call)
        with pytest.raises(CallFailed) as caught:
            await anext(reader_of(flow, []).pages("fake", "customer", "2"))
        assert caught.value.failure.kind is FailureKind.BUG


async def test_one_failure_among_many_calls_hides_no_other(database_url: str) -> None:
    async with open_flow(database_url, working=False) as flow:
        system = flow.systems["fake"]
        ids = [system.create(name=f"Customer {n}") for n in range(20)]

        def fail(_hook: str, about: str | None) -> None:
            if about == ids[3]:
                raise FakeError(FailureKind.REJECTED)

        system.reading = fail
        reader = reader_of(flow, [])
        answers = await together(reader.fetch("fake", "customer", each) for each in ids)
        failed = [i for i, answer in enumerate(answers) if isinstance(answer, CallFailed)]
        assert failed == [3]
        assert len(answers) == 20


async def test_what_was_read_goes_the_way_of_every_news_once(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        asof = Interval.of_second(1_700_000_000)
        good = ExternalObject("customer", "x1", {"name": "Grace"}, None)
        bad = ExternalObject("customer", "x2", {"name": ["secret"]}, None)
        runtime = flow.runtime
        publisher = SnapshotPublisher(runtime.context, runtime.bus, runtime.schemas["event"])
        looks = [Snapshot(good, asof), Snapshot(bad, asof)]
        for _ in range(2):
            published = await publisher.publish("fake", looks, ObservationKind.LIST, "run")
            assert published == PublishedSnapshots(("run:x1:1700000000000000",), 1)
            await flow.settle()
        found = await flow.events("inbound")
        (event,) = (each for each in found if each["status"] != "dead")
        (letter,) = (each for each in found if each["status"] == "dead")
        assert event["event_type"] == "customer.listed"
        assert (letter["status"], letter["reason"]) == ("dead", "invalid_object")
        assert (letter["external_id"], letter["error_kind"]) == ("x2", "rejected")
        data = orjson.loads(event["payload"])["data"]
        assert (data["kind"], data["occurred"]) == ("list", [asof.low, asof.high])
        assert event["correlation_id"] == "run"
        assert await flow.scalar("SELECT count(*) FROM customers") == 1


async def test_an_object_that_is_not_valid_is_named_without_what_it_holds(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with open_flow(database_url, working=False) as flow:
        bad = ExternalObject("customer", "x2", {"name": ["secret"]}, None)
        runtime = flow.runtime
        publisher = SnapshotPublisher(runtime.context, runtime.bus, runtime.schemas["event"])
        look = Snapshot(bad, Interval(0, 1))
        found = publisher.observation("fake", look, ObservationKind.LIST)
        assert isinstance(found, NotRead)
        assert (found.kind, found.external_id) == ("rejected", "x2")
        written = capsys.readouterr()
        assert "x2" in written.out + written.err
        assert "/name" in written.out + written.err
        assert "secret" not in written.out + written.err


async def test_each_state_that_one_run_shows_counts_in_order(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        runtime = flow.runtime
        publisher = SnapshotPublisher(runtime.context, runtime.bus, runtime.schemas["event"])
        external_id = flow.systems["fake"].create(name="Grace")
        flow.systems["fake"].webhooks.clear()

        def look(name: str, second: int) -> Snapshot:
            seen = ExternalObject("customer", external_id, {"name": name}, None)
            return Snapshot(seen, Interval.of_second(1_700_000_000 + second))

        pages = [[look("Ada", 0)], [look("Eve", 5), look("Eve", 5)], [look("Ada", 9)]]
        for page in pages:
            await publisher.publish("fake", page, ObservationKind.LIST, "run")
        await flow.settle()
        reasons = [event["reason"] for event in await flow.events("inbound")]
        assert reasons == ["created", "merged", "merged"]
        assert await flow.scalar("SELECT name FROM customers") == "Ada"


async def test_two_states_of_one_page_lead_to_the_present_one(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        runtime = flow.runtime
        publisher = SnapshotPublisher(runtime.context, runtime.bus, runtime.schemas["event"])
        external_id = flow.systems["fake"].create(name="Grace")
        flow.systems["fake"].webhooks.clear()
        asof = Interval.of_second(int(time.time()) - 5)
        looks = [
            Snapshot(ExternalObject("customer", external_id, {"name": name}, None), asof)
            for name in ("Ada", "Grace")
        ]
        published = await publisher.publish("fake", looks, ObservationKind.FETCH, "run")
        assert len(published.event_ids) == 2
        await flow.settle()
        assert await flow.scalar("SELECT name FROM customers") == "Grace"


async def test_what_cannot_be_read_is_kept_once_for_each_state(database_url: str) -> None:
    async with open_flow(database_url) as flow:
        runtime = flow.runtime
        publisher = SnapshotPublisher(runtime.context, runtime.bus, runtime.schemas["event"])
        for number, name in enumerate(("a", "a", "b")):
            seen = ExternalObject("customer", "x\ud800", {"name": [name], "n": 10**30}, None)
            look = Snapshot(seen, Interval.of_second(number))
            await publisher.publish("fake", [look], ObservationKind.FETCH, f"run {number}")
        letters = await flow.events("inbound")
        assert [letter["status"] for letter in letters] == ["dead", "dead"]
        assert {letter["external_id"][:2] for letter in letters} == {"x\ufffd"}
