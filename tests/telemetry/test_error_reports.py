"""Logged errors are reported to Sentry, without personal data, secrets and texts of errors."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

from zenskar.errors import ConfigurationError
from zenskar.telemetry import logs
from zenskar.telemetry.error_reports import reported_errors
from zenskar.telemetry.stack_traces import trace

DSN = {"SENTRY_DSN": "https://public@sentry.example.com/1"}
CANARY, KEY = "zyxcanary@example.com", "sk_live_1234567890abcdef"


class SentReports(Transport):
    """Keeps the reports that would be sent."""

    sent: list[dict[str, Any]]

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        assert event is not None
        type(self).sent.append(json.loads(json.dumps(event, default=str)))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    monkeypatch.setattr(SentReports, "sent", [], raising=False)
    logs.configure("info", "json")
    with reported_errors(DSN, "zenskar-worker", SentReports):
        yield SentReports.sent


def failing(customer: str) -> None:
    secret = KEY
    raise RuntimeError(f"no room for {customer}, {secret}")


def test_a_logged_error_is_reported_with_its_places_and_ids(sent: list[dict[str, Any]]) -> None:
    try:
        failing(CANARY)
    except RuntimeError as error:
        _log = logs.get_logger("zenskar.test")
        _log.error("push_failed", source="stripe", trace=trace(error), correlation_id="c-1")
    (report,) = sent
    (error,) = report["exception"]["values"]
    assert (error["type"], error["value"]) == ("RuntimeError", "")
    assert error["stacktrace"]["frames"][-1]["function"] == "failing"
    assert report["logentry"]["message"] == "push_failed"
    assert report["tags"] == {
        "service": "zenskar-worker",
        "source": "stripe",
        "correlation_id": "c-1",
    }


def test_no_report_holds_a_secret_or_personal_data(sent: list[dict[str, Any]]) -> None:
    own, other = logs.get_logger("zenskar.test"), logging.getLogger("asyncio")
    own.error("one", problem=f"refused {KEY} of {CANARY} at postgres://me:hidden@db/x")
    try:
        failing(CANARY)
    except RuntimeError:
        other.exception("Task of %s failed", CANARY, extra={"customer": CANARY})
    assert len(sent) == 2
    text = json.dumps(sent)
    for hidden in (CANARY, "zyxcanary", KEY, "hidden", "no room"):
        assert hidden not in text
    for collected in ("vars", "request", "user", "breadcrumbs"):
        assert f'"{collected}"' not in text


def test_only_errors_of_this_program_are_reported(sent: list[dict[str, Any]]) -> None:
    logs.get_logger("zenskar.test").warning("consumer_waits", reason="none")
    logging.getLogger("opentelemetry.exporter").error("no collector")
    assert not sent


def test_an_error_of_a_request_is_reported_by_its_type(sent: list[dict[str, Any]]) -> None:
    text = '  File "/app/a.py", line 3, in create\n    name = "Ada"\n'
    _log = logs.get_logger("zenskar.api")
    _log.error("request_failed", error_types=["KeyError"], traceback=text)
    ((error,),) = [report["exception"]["values"] for report in sent]
    assert error["type"] == "KeyError"
    assert error["stacktrace"]["frames"][0]["lineno"] == 3
    assert "Ada" not in json.dumps(sent)


def test_the_error_that_ends_the_process_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SentReports, "sent", [], raising=False)
    with pytest.raises(RuntimeError), reported_errors(DSN, "zenskar-api", SentReports):
        failing(CANARY)
    (report,) = SentReports.sent
    assert report["level"] == "fatal"
    assert CANARY not in json.dumps(report)


def test_nothing_is_reported_without_an_address() -> None:
    before = list(logging.getLogger().handlers)
    with reported_errors({}, "zenskar-api"):
        assert logging.getLogger().handlers == before


@pytest.mark.parametrize(
    "dsn", ["sentry.example.com", "https://sentry.example.com/1", "https://k@[::1"]
)
def test_a_wrong_address_stops_the_start_without_its_text(dsn: str) -> None:
    with pytest.raises(ConfigurationError) as raised, reported_errors({"SENTRY_DSN": dsn}, "x"):
        pass
    assert dsn not in str(raised.value)


def test_a_missing_extra_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentry_sdk", None)
    with (
        pytest.raises(ConfigurationError, match=r"install zenskar\[sentry\]"),
        reported_errors(DSN, "x"),
    ):
        pass
