"""Search, its language and its lag."""

import pytest
import stripe

from zenskar_stripe.sandbox import StripeSandbox


@pytest.fixture
def people(sandbox):
    """Three customers by name."""
    rows = [
        {"name": "Ada O'Hara", "email": "ada@example.com", "metadata": {"zenskar_id": "z1"}},
        {"name": "Grace", "email": "Grace@Example.com", "metadata": {"zenskar_id": "z2"}},
        {"name": "Linus", "metadata": {"zenskar_id": "z3", "tier": "gold"}},
    ]
    return {row["name"].split()[0]: sandbox.dashboard.create(row)["id"] for row in rows}


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("metadata['zenskar_id']:'z2'", ["Grace"]),
        ('metadata["zenskar_id"]:"z2"', ["Grace"]),
        ("email:'grace@example.com'", ["Grace"]),
        ("email:'nobody@example.com'", []),
        (r"name:'Ada O\'Hara'", ["Ada"]),
        ("email~'example'", ["Grace", "Ada"]),
        ("-email:null", ["Grace", "Ada"]),
        ("email:null", ["Linus"]),
        ("-metadata['tier']:null AND name:'linus'", ["Linus"]),
        ("metadata['zenskar_id']:'z1' OR metadata['zenskar_id']:'z3'", ["Linus", "Ada"]),
        ("email~'example' -name:'grace'", ["Ada"]),
        ("created>0 AND created<99999999999", ["Linus", "Grace", "Ada"]),
    ],
)
async def test_queries(v1, people, query, names):
    page = await v1.customers.search_async({"query": query})
    assert [each.id for each in page.data] == [people[name] for name in names]
    assert (page.object, page.url) == ("search_result", "/v1/customers/search")


@pytest.mark.parametrize(
    "query",
    [
        "nonsense",
        "email:'a' AND name:'b' OR phone:'c'",
        "balance:1",
        "email~'ab'",
        "email>'a'",
        "created:'soon'",
        "(email:'a')",
        "email:'a' AND",
        "metadata:'a'",
        " ".join(["created>0"] * 11),
    ],
)
async def test_queries_that_are_refused(v1, query):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await v1.customers.search_async({"query": query})
    assert caught.value.param == "query"


async def test_a_query_is_required(call):
    status, body, _ = await call("GET", "/v1/customers/search")
    assert (status, body["error"]["code"]) == (400, "parameter_missing")


async def test_pages(v1, sandbox):
    made = [sandbox.dashboard.create({"metadata": {"k": "v"}})["id"] for _ in range(7)]
    page = await v1.customers.search_async({"query": "metadata['k']:'v'", "limit": 3})
    assert page.has_more is True
    assert page.next_page
    assert [each.id async for each in page.auto_paging_iter()] == made[::-1]


async def test_a_bad_page(v1):
    with pytest.raises(stripe.InvalidRequestError) as caught:
        await v1.customers.search_async({"query": "created>0", "page": "x"})
    assert caught.value.param == "page"


async def test_search_follows_updates_and_deletes(v1, sandbox, people):
    async def found(query):
        return [each.id for each in (await v1.customers.search_async({"query": query})).data]

    sandbox.dashboard.update(people["Ada"], {"metadata": {"zenskar_id": "z9"}})
    assert await found("metadata['zenskar_id']:'z1'") == []
    assert await found("metadata['zenskar_id']:'z9'") == [people["Ada"]]
    sandbox.dashboard.delete(people["Ada"])
    assert await found("metadata['zenskar_id']:'z9'") == []


async def test_search_lags_while_lists_do_not(clock, connect):
    async with StripeSandbox(clock=clock, search_lag=60) as sandbox:
        v1, query = connect(sandbox), {"query": "metadata['zenskar_id']:'z1'"}
        customer = sandbox.dashboard.create({"name": "Ada", "metadata": {"zenskar_id": "z1"}})
        assert (await v1.customers.search_async(query)).data == []
        assert len((await v1.customers.list_async()).data) == 1
        clock.now += 60
        assert (await v1.customers.search_async(query)).data[0].id == customer["id"]
        sandbox.dashboard.update(customer["id"], {"name": "Grace"})
        assert (await v1.customers.search_async(query)).data[0].name == "Ada"
        clock.now += 60
        assert (await v1.customers.search_async(query)).data[0].name == "Grace"
