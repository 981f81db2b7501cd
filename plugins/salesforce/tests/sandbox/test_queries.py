"""SOQL of the sandbox: parsed, typed and paged as Salesforce does."""

import pytest

from plugins.salesforce.tests.conftest import Caller
from zenskar_salesforce.sandbox.problems import Refused
from zenskar_salesforce.sandbox.soql import Comparison, Junction, Literal, Order, parse


def test_a_query_becomes_a_tree() -> None:
    query = parse(
        "select Id, Name from Contact where (a = 'O\\'Neil' or not b in (1, null)) and c like '%x'"
        " order by Name desc nulls last, Id limit 5"
    )
    assert (query.fields, query.object_name, query.limit) == (("Id", "Name"), "Contact", 5)
    assert query.orders == (Order("Name", descending=True, nulls_last=True), Order("Id"))
    listed = Comparison("b", "in", (Literal(1.0), Literal(None)))
    first = Comparison("a", "=", (Literal("O'Neil", quoted=True),))
    last = Comparison("c", "like", (Literal("%x", quoted=True),))
    either = Junction("or", (first, Junction("not", (listed,))))
    assert query.where == Junction("and", (either, last))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SELECT FROM Contact",
        "SELECT Id FROM Contact WHERE",
        "SELECT Id FROM Contact WHERE a = 'x",
        "SELECT Id FROM Contact WHERE a = 'x' AND b = 'y' OR c = 'z'",
        "SELECT Id FROM Contact WHERE a = b",
        "SELECT Id FROM Contact LIMIT x",
        "SELECT Id FROM Contact; DELETE",
        "SELECT Id FROM Contact ORDER Id",
        "SELECT Id FROM Contact WHERE (a = 'x'",
    ],
)
def test_a_malformed_query_is_refused(text: str) -> None:
    with pytest.raises(Refused) as caught:
        parse(text)
    assert [problem.code for problem in caught.value.problems] == ["MALFORMED_QUERY"]


@pytest.mark.parametrize(
    ("where", "code"),
    [
        ("SystemModstamp >= '2027-01-15T08:00:00Z'", "INVALID_FIELD"),
        ("LastName = 5", "INVALID_FIELD"),
        ("Height = 'x'", "INVALID_FIELD"),
        ("Id = 'x_1'", "INVALID_QUERY_FILTER_OPERATOR"),
    ],
)
async def test_a_value_of_a_wrong_type_is_refused(caller: Caller, where: str, code: str) -> None:
    reply = await caller.call("GET", "/query", q=f"SELECT Id FROM Contact WHERE {where}")
    assert (reply.status, reply.codes) == (400, [code])


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ("LastName = 'BYRON'", ["Byron"]),
        ("LastName != 'byron'", ["Ada", "Cole"]),
        ("LastName LIKE '_o%'", ["Cole"]),
        ("LastName NOT IN ('Ada', 'Cole')", ["Byron"]),
        ("Phone = null AND NOT (LastName = 'Ada' OR LastName = 'Byron')", ["Cole"]),
        ("SystemModstamp > 2027-01-15T08:00:00Z", ["Byron", "Cole"]),
        ("SystemModstamp <= 2027-01-15T09:00:00.000+01:00", ["Ada"]),
        ("Id > '003000000000002AAA'", ["Cole"]),
    ],
)
async def test_conditions_and_orders(caller: Caller, where: str, names: list[str]) -> None:
    for second, name in enumerate(("Ada", "Byron", "Cole")):
        caller.sandbox.shift_clock(second)
        caller.sandbox.add(LastName=name)
    text = f"SELECT LastName FROM Contact WHERE {where} ORDER BY LastName"
    found = (await caller.query(text))["records"]
    assert [each["LastName"] for each in found] == names
    assert all("Id" not in each for each in found)


async def test_nulls_come_first_unless_a_query_says_so(caller: Caller) -> None:
    for phone in ("2", None, "1"):
        caller.sandbox.add(LastName="x", Phone=phone)
    for order, wanted in [
        ("Phone", [None, "1", "2"]),
        ("Phone NULLS LAST", ["1", "2", None]),
        ("Phone DESC", [None, "2", "1"]),
        ("Phone DESC NULLS LAST", ["2", "1", None]),
    ]:
        found = (await caller.query(f"SELECT Phone FROM Contact ORDER BY {order}"))["records"]
        assert [each["Phone"] for each in found] == wanted, order


async def test_pages_are_shorter_than_asked_and_show_the_state_of_the_query(caller: Caller) -> None:
    for number in range(5):
        caller.sandbox.add(LastName=f"n{number}")
    caller.sandbox.habits.page_rows = 2
    page = await caller.query("SELECT LastName FROM Contact ORDER BY Id LIMIT 4")
    caller.sandbox.edit(caller.sandbox.living[3]["Id"], LastName="late")
    names, path = [], ""
    while True:
        names += [each["LastName"] for each in page["records"]]
        if page["done"]:
            break
        path = page["nextRecordsUrl"].removeprefix("/services/data/v66.0")
        page = (await caller.call("GET", path)).body
    assert (names, page["totalSize"]) == (["n0", "n1", "n2", "n3"], 4)
    assert (await caller.call("GET", "/query/01g0-0")).codes == ["INVALID_QUERY_LOCATOR"]
