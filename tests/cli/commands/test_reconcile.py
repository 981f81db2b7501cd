"""`zenskar reconcile` and `zenskar backfill`, against a local Stripe that runs beside them."""

import json
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.cli.commands.conftest import Remote, running_sandbox
from tests.cli.conftest import Cli, Start
from tests.cli.processes import run, until
from tests.support.postgres import apart
from zenskar.db.driver.engine import create_engine
from zenskar_stripe.sandbox import Fault, FaultKind

T = TypeVar("T")
SETTLE = ("--settle", "0")


def age(database_url: str) -> None:
    """Age all known states by an hour, so that a fetch of now is newer for sure."""

    async def run() -> None:
        engine = create_engine(database_url, pool_size=2)
        async with engine.begin() as db:
            await db.exec_driver_sql(
                "UPDATE external_mappings SET asof_low = asof_low - 3600000000,"
                " asof_high = asof_high - 3600000000"
            )
        await engine.dispose()

    apart(run)


def test_a_backfill_takes_in_what_is_there_without_another_worker(cli: Cli, stripe: Remote) -> None:
    for number in range(3):
        stripe.create(name=f"Customer {number}", email=f"c{number}@example.com")
    (intake,) = cli.json("backfill", "stripe")["data"]
    assert (intake["complete"], intake["objects"], intake["published"]) == (True, 3, 3)
    text = cli("backfill", "stripe", "customer")
    assert "stripe customer: 3 objects, 0 imported, 0 failed, 0 not valid." in text
    (report,) = cli.json("reconcile", "stripe", *SETTLE)["data"]
    assert (report["complete"], report["found"], report["objects"]) == (True, {}, 3)


def test_drift_gives_exit_code_3_until_it_is_repaired(
    cli: Cli, stripe: Remote, database: str
) -> None:
    changed, gone = stripe.create(name="Ada"), stripe.create(name="Grace")
    cli("backfill", "stripe")
    age(database)
    stripe.update(changed, email="secret@example.com")
    stripe.delete(gone)
    new = stripe.create(name="Edsger")
    (report,) = cli.json("reconcile", "stripe", *SETTLE, code=3)["data"]
    assert report["found"] == {"different": 1, "missing_there": 1, "missing_here": 1}
    found = {e["external_id"]: (e["kind"], e["fields"]) for e in report["examples"]}
    assert found == {
        changed: ("different", ["/email"]),
        gone: ("missing_there", []),
        new: ("missing_here", []),
    }
    text = cli("reconcile", "stripe", *SETTLE, code=3)
    assert "3 differences, 3 left" in text
    for kind in ("different", "missing_here", "missing_there"):
        assert re.search(rf"^{kind} +1 +1 *$", text, re.MULTILINE)
    assert "/email" in text
    assert "secret@example.com" not in text
    (repaired,) = cli.json("reconcile", "stripe", "--repair", *SETTLE)["data"]
    assert repaired["remaining"] == {}
    assert all(example["repaired"] for example in repaired["examples"])
    assert "0 differences" in cli("reconcile", "stripe", *SETTLE)


def test_what_cannot_be_repaired_gives_exit_code_3(
    cli: Cli, stripe: Remote, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZENSKAR_DELETE_GUARD_LIMIT", "1")
    customers = [stripe.create(name=f"Customer {number}") for number in range(3)]
    cli("backfill", "stripe")
    for customer in customers:
        stripe.delete(customer)
    text = cli("reconcile", "stripe", "--repair", *SETTLE, code=1)
    assert "3 of 3 linked objects of stripe customer are missing" in text
    text = cli("reconcile", "stripe", "--repair", "--force", *SETTLE, "--output", "json", code=3)
    # The log lines of the guard on standard error follow the report.
    (report,) = json.JSONDecoder().raw_decode(text)[0]["data"]
    assert report["remaining"] == {"missing_there": 3}
    text = cli("reconcile", "stripe", "--repair", code=1)
    assert "delete_guard" in text


def test_another_account_is_refused_and_costs_no_record(
    cli: Cli, stripe: Remote, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    customers = [stripe.create(name=f"Customer {number}") for number in range(3)]
    cli("backfill", "stripe")
    own = os.environ["STRIPE_API_BASE"]
    with running_sandbox(seed=1) as other:
        other.create(name="A stranger")
        monkeypatch.setenv("STRIPE_API_BASE", other.sandbox.base_url)
        for command in (("reconcile", "stripe", "--repair", *SETTLE), ("backfill", "stripe")):
            text = cli(*command, code=1)
            assert "the credentials open the account acct_" in text
            assert "zenskar connections resume stripe --accept-account" in text
        (state,) = cli.json("connections", "list")["data"]
        assert (state["state"], state["reason"]) == ("paused", "other_account")
    assert count(database, "customers WHERE deleted_at IS NULL") == 3
    monkeypatch.setenv("STRIPE_API_BASE", own)
    (report,) = cli.json("reconcile", "stripe", *SETTLE)["data"]
    assert (report["objects"], report["found"]) == (len(customers), {})
    (state,) = cli.json("connections", "list")["data"]
    assert state["state"] == "active"


def test_held_deletes_are_dropped_back_on_the_right_account(
    cli: Cli, stripe: Remote, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account of this key is unknown, and an operator deletes the records."""
    monkeypatch.setenv("ZENSKAR_DELETE_GUARD_LIMIT", "1")
    for number in range(3):
        stripe.create(name=f"Customer {number}")
    cli("backfill", "stripe")
    own = os.environ["STRIPE_API_BASE"]
    with running_sandbox(seed=1) as other:
        other.create(name="A stranger")
        monkeypatch.setenv("STRIPE_API_BASE", other.sandbox.base_url)
        cli("reconcile", "stripe", *SETTLE, code=1)
        cli("connections", "resume", "stripe", "--accept-account")
        listed = cli.json("reconcile", "stripe", *SETTLE, code=3)["data"]
        assert listed[0]["found"]["missing_there"] == 3
        # Missing objects are repaired only with --missing.
        cli("reconcile", "stripe", "--repair", *SETTLE, code=3)
        assert count(database, "customers WHERE deleted_at IS NULL") == 4
        cli("reconcile", "stripe", "--repair", "--missing", "delete", *SETTLE, code=3)
        assert count(database, "customers WHERE deleted_at IS NULL") >= 3
    monkeypatch.setenv("STRIPE_API_BASE", own)
    held = cli.json("connections", "held", "stripe")
    assert held["total"] == len(held["data"]) >= 2
    text = cli("connections", "resume", "stripe", code=1)
    assert f"--apply-deletes {held['total']}" in text
    cli("connections", "resume", "stripe", "--apply-deletes", "99", code=1)
    text = cli("connections", "resume", "stripe", "--drop-deletes")
    assert f"{held['total']} deletes dropped, 0 are proven" in text
    assert cli.json("connections", "held", "stripe")["total"] == 0


def test_a_deleted_customer_is_brought_back(cli: Cli, stripe: Remote, database: str) -> None:
    stripe.create(name="Ada")
    cli("backfill", "stripe")
    (record,) = apart(lambda: rows(database, "SELECT id::text FROM customers"))
    apart(lambda: rows(database, "UPDATE customers SET deleted_at = now() RETURNING id"))
    back = cli.json("customers", "undelete", record[0])
    assert [link["state"] for link in back["links"]] == ["linked"]
    assert count(database, "customers WHERE deleted_at IS NULL") == 1
    assert "not deleted" in cli("customers", "undelete", record[0], code=1)


def test_a_stopped_run_gives_exit_code_1_and_goes_on(cli: Cli, stripe: Remote) -> None:
    for number in range(101):
        stripe.create(name=f"Customer {number}")
    fault = Fault(kind=FaultKind.SERVER_ERROR, count=50, path_prefix="/v1/customers")
    stripe.do(lambda s: s.faults.add(fault))
    text = cli("reconcile", "stripe", *SETTLE, code=1)
    assert "error: stripe customer is not complete" in text
    stripe.do(lambda s: s.faults.clear())
    (report,) = cli.json("reconcile", "stripe", *SETTLE, code=3)["data"]
    assert (report["complete"], report["found"]) == (True, {"missing_here": 101})


def test_a_wrong_name_is_told_in_one_line(cli: Cli, stripe: Remote) -> None:
    text = cli("reconcile", "strype", code=1)
    assert text == "error: no connection is called 'strype'\n"
    text = cli("backfill", "stripe", "invoice", code=1)
    assert text == "error: stripe does not sync invoice, but: customer\n"


def test_a_killed_backfill_goes_on_where_it_was(
    stripe: Remote, start: Start, tmp_path: Path, database: str
) -> None:
    for number in range(250):
        stripe.create(name=f"Customer {number}")
    slow = Fault(kind=FaultKind.DELAY, count=99, path_prefix="/v1/customers", delay_seconds=0.5)
    stripe.do(lambda s: s.faults.add(slow))
    given = ("ZENSKAR_", "STRIPE_")
    variables = {name: value for name, value in os.environ.items() if name.startswith(given)}
    running = start("backfill", "stripe", **variables)
    # The second page is asked for once the checkpoint of the first one is written.
    until(lambda: asked(stripe) >= 2)
    running.process.kill()
    running.process.wait(30)
    stripe.do(lambda s: s.faults.clear())
    before = asked(stripe)
    done = run("backfill", "stripe", "--output", "json", folder=tmp_path, **variables)
    (intake,) = json.loads(done.stdout)["data"]
    assert (intake["complete"], intake["objects"]) == (True, 250)
    assert asked(stripe) - before < 3
    assert count(database, "customers") == 250


def asked(stripe: Remote) -> int:
    """How many pages of the list were asked for."""
    return stripe.do(lambda s: sum(call.path == "/v1/customers" for call in s.requests))


async def rows(database_url: str, query: str) -> list[Any]:
    engine = create_engine(database_url, pool_size=2)
    async with engine.begin() as db:
        found = (await db.exec_driver_sql(query)).all()
    await engine.dispose()
    return list(found)


def count(database_url: str, table: str) -> int:
    async def work() -> int:
        engine = create_engine(database_url, pool_size=2)
        async with engine.connect() as db:
            found = await db.exec_driver_sql(f"SELECT count(*) FROM {table}")
            number = int(found.scalar_one())
        await engine.dispose()
        return number

    return apart(work)


def test_what_cannot_be_read_is_told_and_gives_an_exit_code(cli: Cli, stripe: Remote) -> None:
    customer = stripe.create(name="Ada")
    stripe.do(lambda s: s.dashboard.retrieve(customer).update(name=["secret"]))
    text = cli("reconcile", "stripe", *SETTLE, code=3)
    assert "0 differences" in text
    assert re.search(rf"^rejected +{customer} .*/name: must be of type", text, re.MULTILINE)
    assert "secret" not in text
    text = cli("backfill", "stripe", "--output", "json", code=1)
    # The log lines on standard error follow the report.
    (intake,) = json.JSONDecoder().raw_decode(text)[0]["data"]
    assert [each["external_id"] for each in intake["not_read"]] == [customer]


def test_a_repair_is_planned_and_then_applied(
    cli: Cli, stripe: Remote, database: str, tmp_path: Path
) -> None:
    changed, gone = stripe.create(name="Ada"), stripe.create(name="Grace")
    cli("backfill", "stripe")
    age(database)
    stripe.update(changed, email="secret@example.com")
    stripe.delete(gone)
    file = str(tmp_path / "repair.json")
    shown = cli("reconcile", "stripe", *SETTLE, "--plan", file)
    assert re.search(r"^delete_here +1 +records that are deleted", shown, re.MULTILINE)
    assert re.search(r"^email +taken_here +1 *$", shown, re.MULTILINE)
    assert f"Apply it: zenskar reconcile stripe --apply {file}" in shown
    assert "secret" not in shown + Path(file).read_text()
    assert count(database, "customers WHERE deleted_at IS NULL") == 2
    stripe.create(name="Not planned")
    (result,) = cli.json("reconcile", "stripe", "--apply", file)["data"]
    assert (result["steps"], result["done"], result["skipped"]) == (2, 2, [])
    assert count(database, "customers WHERE deleted_at IS NULL") == 1
    assert count(database, "customers WHERE email = 'secret@example.com'") == 1
    wrong = cli("backfill", "stripe", "--apply", file, code=1)
    assert "holds no plan of backfill" in wrong
    both = cli("reconcile", "stripe", "--repair", "--apply", file, code=1)
    assert "not two of them" in both


def test_a_profile_is_planned_before_the_connection_has_it(
    cli: Cli, stripe: Remote, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    customer = stripe.create(name="Ada", metadata={"tier": "pro"})
    cli("backfill", "stripe")
    profile, file = tmp_path / "new.toml", str(tmp_path / "plan.json")
    profile.write_text('[customer.fields]\n"/metadata/plan" = { there = "/metadata/tier" }\n')
    assert "for --plan" in cli("reconcile", "stripe", "--profile", str(profile), code=1)
    chosen = ("--plan", file, "--profile", str(profile))
    shown = cli("reconcile", "stripe", *SETTLE, *chosen)
    assert re.search(r"^metadata/plan +taken_here +1 *$", shown, re.MULTILINE)
    assert re.search(rf"^merge +{customer} .*metadata/plan: taken_here", shown, re.MULTILINE)
    assert "another profile" in cli("reconcile", "stripe", "--apply", file, code=1)
    monkeypatch.setenv("STRIPE_PROFILE", str(profile))
    (result,) = cli.json("reconcile", "stripe", "--apply", file)["data"]
    assert (result["done"], result["skipped"]) == (1, [])
