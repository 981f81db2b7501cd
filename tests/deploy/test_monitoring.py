"""Alerts, runbooks and dashboards name metrics, labels and commands that exist."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from prometheus_client import Counter, Gauge, Histogram

from tests.deploy.compose import ROOT
from tests.drill.faults import ALL
from tests.test_docs import COMMANDS
from zenskar.api.resources.state_metrics import GAUGES
from zenskar.db.connections import DELETE_GUARD, OTHER_ACCOUNT, PAUSED_BY_OPERATOR, SAME_ACCOUNT
from zenskar.errors import FailureKind
from zenskar.sync.resilience.circuit_breaker import OUTAGE
from zenskar.telemetry.metrics import Metrics

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
RUNBOOKS = ROOT / "docs" / "runbooks.md"
SCRAPED = {"job", "instance", "le"}
"""The labels that Prometheus and histograms add."""
FOREIGN = {"up": SCRAPED, "ALERTS": {"alertname", "alertstate"}}
_NAME = re.compile(r"\b(?:zenskar_|process_)\w+|\bup\b|\bALERTS\b")
_MATCHED = re.compile(r"(\w+)\{([^}]*)\}")
_GROUPED = re.compile(r"\b(?:by|on) \(([^)]*)\)")


def rules() -> list[dict[str, Any]]:
    loaded = yaml.safe_load((PROMETHEUS / "rules.yml").read_text())
    return [rule for group in loaded["groups"] for rule in group["rules"]]


def panels() -> Iterator[tuple[str, str]]:
    """Yield the title and an expression of each panel."""
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield f"{path.stem}: {panel['title']}", target["expr"]


EXPRESSIONS = [*((rule["alert"], rule["expr"]) for rule in rules()), *panels()]


def series() -> dict[str, set[str]]:
    """Return the names of all series with their labels."""
    found = {gauge.name: {*gauge.labels} for gauge in GAUGES} | FOREIGN
    metrics = Metrics()
    for metric in vars(metrics).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            endings = {Counter: ("_total",), Gauge: ("",), Histogram: ("_bucket", "_sum", "_count")}
            for ending in endings[type(metric)]:
                found[f"{metric._name}{ending}"] = {*metric._labelnames}
    process = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    return {name: set[str]() for name in process} | found


@pytest.mark.parametrize(("name", "expression"), EXPRESSIONS)
def test_an_expression_names_series_and_labels_that_exist(name: str, expression: str) -> None:
    known = series()
    bare = re.sub(r'"[^"]*"', '""', expression)
    used = set(_NAME.findall(bare))
    assert used
    assert used <= known.keys()
    for metric, matchers in _MATCHED.findall(bare):
        assert set(re.findall(r"(\w+)\s*[=!]", matchers)) <= known[metric] | SCRAPED, metric
    labels = set().union(*(known[metric] for metric in used)) | SCRAPED
    for grouped in _GROUPED.findall(bare):
        assert {label.strip() for label in grouped.split(",") if label} <= labels


def test_the_reasons_of_pauses_are_those_of_the_code() -> None:
    known = {FailureKind.CREDENTIALS.value, OUTAGE, DELETE_GUARD, OTHER_ACCOUNT, SAME_ACCOUNT}
    text = (PROMETHEUS / "rules.yml").read_text()
    named = [value.split("|") for value in re.findall(r'reason=~?"([^"]+)"', text)]
    assert {each for values in named for each in values} == known | {PAUSED_BY_OPERATOR}


def test_every_alert_has_a_severity_a_summary_and_a_runbook() -> None:
    titles = re.findall(r"^## (.+)$", RUNBOOKS.read_text(), re.MULTILINE)
    alerts = [rule["alert"] for rule in rules()]
    assert titles == alerts
    assert len(set(alerts)) == len(alerts)
    for rule in rules():
        assert rule["labels"]["severity"] in {"page", "ticket"}
        assert rule["annotations"]["summary"]
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert (ROOT / page) == RUNBOOKS
        assert anchor == rule["alert"].lower()


def test_a_runbook_states_the_severity_and_the_time_of_its_alert() -> None:
    text = RUNBOOKS.read_text()
    for rule in rules():
        after = f", after {rule['for']}" if "for" in rule else ""
        wanted = f"## {rule['alert']}\n\nSeverity `{rule['labels']['severity']}`{after}."
        assert wanted in text


def test_the_commands_of_the_runbooks_exist_with_their_options() -> None:
    text = RUNBOOKS.read_text()
    named = re.findall(r"^zenskar .+$", text, re.MULTILINE)
    named += re.findall(r"`(zenskar [^`]+)`", text.replace("\n", " "))
    assert len(named) > 30
    for line in named:
        command = max((c for c in COMMANDS if f"{line} ".startswith(f"{c} ")), key=len, default="")
        assert command, line
        known = {option for each in COMMANDS[command].params for option in each.opts}
        assert set(re.findall(r"--[\w-]+", line)) <= known, line


def test_every_alert_fires_in_a_test_and_stays_silent_in_another() -> None:
    loaded = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())
    fired, silent = set(), set()
    for test in loaded["tests"]:
        for check in test["alert_rule_test"]:
            (fired if check.get("exp_alerts") else silent).add(check["alertname"])
    assert fired == silent == {rule["alert"] for rule in rules()}


def test_the_faults_of_the_drill_are_documented_with_alerts_that_exist() -> None:
    page = (ROOT / "docs" / "testing.md").read_text()
    table = re.findall(r"^\| ([^|]+) \| (none|`Zenskar\w+`) \| [^|]+ \|$", page, re.MULTILINE)
    assert table == [(fault.name, f"`{fault.alert}`" if fault.alert else "none") for fault in ALL]
    assert {fault.alert for fault in ALL} <= {rule["alert"] for rule in rules()} | {""}


def test_the_tests_of_the_alerts_pass() -> None:
    if (promtool := shutil.which("promtool")) is None:
        pytest.skip("promtool is not installed; on Debian: apt install prometheus")
    for command in (["check", "config", "prometheus.yml"], ["test", "rules", "rules_test.yml"]):
        done = subprocess.run(
            [promtool, *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboards_are_provisioned() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yml").read_text())[
        "datasources"
    ]
    (provider,) = yaml.safe_load((provisioning / "dashboards/zenskar.yml").read_text())["providers"]
    assert provider["type"] == "file"
    loaded = {path.stem: json.loads(path.read_text()) for path in DASHBOARDS}
    assert loaded.keys() == {"overview", "connection", "bus", "database"}
    assert {board["uid"] for board in loaded.values()} == {f"zenskar-{name}" for name in loaded}
    for board in loaded.values():
        assert {panel["datasource"]["uid"] for panel in board["panels"]} == {source["uid"]}
