"""`zenskar runs`."""

from typing import Any

from tests.cli.conftest import Cli, with_flow
from tests.support.flow import Flow
from zenskar.db.driver.engine import in_transaction
from zenskar.model.actor import Actor
from zenskar.model.operator_run import RunKind
from zenskar.ops.runs import run_requests
from zenskar.ops.runs.run_requests import RunRequest


async def _request(flow: Flow) -> Any:
    wanted = RunRequest(RunKind.COMPARE, "fake", "customer")
    run = await in_transaction(
        flow.runtime.engine,
        lambda c: run_requests.request_run(c, wanted, Actor("Ada", "127.0.0.1")),
    )
    return run.id


def test_runs_are_listed_shown_and_stopped(cli: Cli, database: str) -> None:
    assert cli("runs", "list").strip() == "There is no such run."
    run_id = with_flow(database, _request, working=False)
    (listed,) = cli.json("runs", "list", "--source", "fake", "--state", "waiting")["data"]
    assert (listed["id"], listed["kind"], listed["by"]) == (run_id, "compare", "Ada")
    assert run_id in cli("runs", "list")
    assert "error: there is no plan" in cli("runs", "show", run_id, "--plan", code=1)
    assert cli.json("runs", "stop", run_id, "--reason", "not now")["state"] == "stopped"
    assert "stopped" in cli("runs", "show", run_id)
    assert "already" in cli("runs", "stop", run_id, code=1)
    (stopped,) = cli.json("audit", "list")["data"]
    assert (stopped["action"], stopped["reason"]) == ("stop", "not now")
