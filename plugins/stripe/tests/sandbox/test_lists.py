"""Cursor pages."""

import pytest
import stripe
from hypothesis import given
from hypothesis import strategies as st

from zenskar_stripe.sandbox import StripeSandbox
from zenskar_stripe.sandbox.timeline import Timeline


def ids(page):
    return [each.id for each in page.data]


@pytest.fixture
def many(sandbox):
    """Twelve customers, oldest first."""
    return [sandbox.dashboard.create({"name": str(number)})["id"] for number in range(12)]


async def test_newest_first_ten_by_default(v1, many):
    page = await v1.customers.list_async()
    assert ids(page) == many[:1:-1]
    assert (page.object, page.has_more, page.url) == ("list", True, "/v1/customers")


async def test_starting_after(v1, many):
    page = await v1.customers.list_async({"limit": 5, "starting_after": many[7]})
    assert ids(page) == many[6:1:-1]
    assert page.has_more is True
    page = await v1.customers.list_async({"starting_after": many[2]})
    assert ids(page) == [many[1], many[0]]
    assert page.has_more is False


async def test_ending_before(v1, many):
    page = await v1.customers.list_async({"limit": 3, "ending_before": many[5]})
    assert ids(page) == [many[8], many[7], many[6]]
    assert page.has_more is True
    page = await v1.customers.list_async({"ending_before": many[9]})
    assert ids(page) == [many[11], many[10]]
    assert page.has_more is False


async def test_all_pages_through_the_sdk(v1, many):
    page = await v1.customers.list_async({"limit": 5})
    assert [each.id async for each in page.auto_paging_iter()] == many[::-1]


async def test_a_page_that_shifts_misses_nothing(v1, sandbox, many):
    first = await v1.customers.list_async({"limit": 6})
    sandbox.dashboard.create({})
    sandbox.dashboard.delete(first.data[-1].id)
    second = await v1.customers.list_async({"starting_after": first.data[-1].id})
    assert ids(first) + ids(second) == many[::-1]


async def test_email(v1, sandbox):
    wanted = [sandbox.dashboard.create({"email": "a@example.com"})["id"] for _ in range(3)]
    other = sandbox.dashboard.create({"email": "b@example.com"})["id"]
    sandbox.dashboard.update(wanted[0], {"email": "b@example.com"})
    sandbox.dashboard.delete(wanted[1])
    assert ids(await v1.customers.list_async({"email": "a@example.com"})) == [wanted[2]]
    page = await v1.customers.list_async({"email": "b@example.com", "limit": 1})
    assert ids(page) == [other]
    assert page.has_more is True
    rest = await v1.customers.list_async({"email": "b@example.com", "starting_after": other})
    assert ids(rest) == [wanted[0]]
    assert ids(await v1.customers.list_async({"email": "A@example.com"})) == []


async def test_created(clock, connect):
    async with StripeSandbox(clock=clock) as sandbox:
        made = {}
        for moment in (100, 200, 300, 250):
            clock.now = moment + 0.9
            made[moment] = sandbox.dashboard.create({})["id"]
        v1 = connect(sandbox)

        async def found(created):
            return ids(await v1.customers.list_async({"created": created}))

        assert await found({"gte": 200}) == [made[250], made[300], made[200]]
        assert await found({"gt": 200, "lt": 300}) == [made[250]]
        assert await found({"lte": 200}) == [made[200], made[100]]
        assert await found(300) == [made[300]]


@pytest.mark.parametrize(
    ("params", "name"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"starting_after": "cus_none"}, "starting_after"),
        ({"starting_after": "cus_a", "ending_before": "cus_b"}, "ending_before"),
        ({"created": {"after": 1}}, "created[after]"),
        ({"created": "yesterday"}, "created"),
        ({"page": 2}, "page"),
    ],
)
async def test_bad_parameters(v1, params, name):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await v1.customers.list_async(params)
    assert (caught.value.http_status, caught.value.param) == (400, name)


@given(
    stamps=st.lists(st.integers(0, 9), max_size=12),
    gone=st.sets(st.integers(0, 11)),
    since=st.none() | st.integers(0, 9),
)
def test_a_timeline_walks_as_a_sorted_list_would(stamps, gone, since):
    timeline = Timeline()
    for number, stamp in enumerate(stamps):
        timeline.add(str(number), stamp)
    for number in gone:
        timeline.remove(str(number))
    left = [number for number in range(len(stamps)) if number not in gone]
    walked = [int(each) for each in timeline.older(None, since=since)]
    kept = [each for each in walked if since is None or stamps[each] >= since]
    expected = [each for each in reversed(left) if since is None or stamps[each] >= since]
    assert kept == expected
    for cursor in range(len(stamps)):
        newer = [int(each) for each in timeline.newer(str(cursor))]
        assert newer == [each for each in left if each > cursor]
