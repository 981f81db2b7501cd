"""Log lines are JSON, carry the correlation id, and no secret."""

import asyncio
import gc
import io
import json
import logging
from pathlib import Path
from typing import Any, Literal

import pytest
import structlog
from aiokafka.consumer.group_coordinator import GroupCoordinator

from tests.support.log_calls import LogCall, log_calls
from zenskar.telemetry import logs

CORE = Path(logs.__file__).parents[1]
CALLS = sorted(set(log_calls(CORE)), key=lambda call: (call.event, call.keywords))


@pytest.fixture
def stream() -> io.StringIO:
    stream = io.StringIO()
    logs.configure("info", "json", stream)
    return stream


def test_a_line_is_json_with_event_level_and_correlation_id(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(correlation_id="c-1"):
        logs.get_logger("zenskar.test").info("thing_done", count=3)
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["correlation_id"], line["count"]) == (
        "thing_done",
        "info",
        "c-1",
        3,
    )


@pytest.mark.parametrize(
    "secret",
    [
        "sk_live_51abcdefgh",
        "whsec_abcdefgh12345",
        "zsk_abcdefgh_0123456789",
        "ada@example.com",
        "postgresql://zenskar:hunter2secret@db/zenskar",
    ],
)
def test_secrets_and_addresses_are_blanked(stream: io.StringIO, secret: str) -> None:
    logs.get_logger("zenskar.test").error("failed", detail=f"because of {secret}!")
    text = stream.getvalue()
    assert secret not in text
    assert "hunter2secret" not in text


def test_a_secret_in_a_traceback_is_blanked(stream: io.StringIO) -> None:
    try:
        {}["sk_live_51abcdefgh"]
    except KeyError:
        logs.get_logger("zenskar.test").exception("failed")
    assert "KeyError" in stream.getvalue()
    assert "sk_live_51abcdefgh" not in stream.getvalue()


def test_lines_of_libraries_are_json_too(stream: io.StringIO) -> None:
    logging.getLogger("some.library").warning("old %s", "style")
    assert json.loads(stream.getvalue())["event"] == "old style"


async def test_a_dead_task_of_aiokafka_is_no_error_of_ours(stream: io.StringIO) -> None:
    async def own() -> None:
        raise RuntimeError

    for forgotten, logged in ((GroupCoordinator._heartbeat_routine(None), False), (own(), True)):
        task = asyncio.create_task(forgotten)
        await asyncio.wait([task])
        del task
        gc.collect()
        assert ("never retrieved" in stream.getvalue()) == logged


def test_only_our_own_loggers_are_as_loud_as_asked() -> None:
    stream = io.StringIO()
    logs.configure("debug", "json", stream)
    for name in ("sqlalchemy.pool", "some.library", "zenskar.test"):
        logging.getLogger(name).debug("detail")
        logging.getLogger(name).info("news")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["logger"] for line in lines] == ["zenskar.test", "zenskar.test"]


def test_no_other_logger_is_touched() -> None:
    others = [logging.getLogger(name) for name in ("sqlalchemy", "alembic", "aiohttp.access")]
    before = [(logger.level, logger.handlers) for logger in others]
    logs.configure("debug", "json", io.StringIO())
    assert [(logger.level, logger.handlers) for logger in others] == before


def test_libraries_are_no_louder_than_asked() -> None:
    stream = io.StringIO()
    logs.configure("error", "json", stream)
    logging.getLogger("some.library").warning("old style")
    assert stream.getvalue() == ""


@pytest.mark.parametrize("value", ["text", ["a list", "of texts"], {"an": "object"}, None, 1.5])
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_every_log_call_can_be_written(
    log_format: Literal["json", "console"], value: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """The renderers have keys of their own (`stack`, `exception`) that take a text only."""
    stream = io.StringIO()
    logs.configure("debug", log_format, stream)
    for call in CALLS:
        logs.get_logger("zenskar.test").error(call.event, **dict.fromkeys(given(call), value))
    written = stream.getvalue().splitlines()
    assert capsys.readouterr().err == ""
    for call in CALLS:
        assert any(call.event in line for line in written), call


def given(call: LogCall) -> list[str]:
    """The keywords that hold a value; `exc_info` is an order to the logger."""
    return [name for name in call.keywords if name != "exc_info"]


def test_nothing_of_others_commands_the_terminal() -> None:
    hostile = "\x1b[2J\x9b31m\u202eevil\nforged line"
    stream = io.StringIO()
    logs.configure("info", "console", stream)
    log = logs.get_logger("zenskar.test")
    log.error(
        "thing_failed",
        error=hostile,
        other="\x1b[2J",
        found={hostile: [hostile]},
        trace=f"line\n{hostile}",
    )
    said = stream.getvalue()
    assert not {"\x1b", "\x9b", "\u202e"} & set(said)
    assert "\nforged line" not in said
