"""Structured logs: each line has an event name and the correlation id."""

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any, Literal, TextIO

import structlog

from zenskar.telemetry.terminal import printable, printable_lines

_SECRET = re.compile(r"\b(?:sk|rk|pk|zsk)_[A-Za-z0-9_]{6,}|\bwhsec_[A-Za-z0-9_+/=-]{6,}")
_EMAIL = re.compile(r"[^\s@\"'<>=]+@[^\s@\"'<>]+\.[A-Za-z]{2,}")
_LINES = frozenset({"trace", "traceback", "exception", "stack"})
_URL_PASSWORD = re.compile(r"(://[^:/@\s]+:)[^@\s]+@")


def configure(
    level: Literal["debug", "info", "warning", "error"],
    log_format: Literal["json", "console"],
    stream: TextIO | None = None,
) -> None:
    """Write the log lines of the process to `stream` (standard error).

    Lines of libraries are written from level warning.
    """
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    renderer: structlog.typing.Processor = (
        structlog.processors.JSONRenderer()
        if log_format == "json"
        else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                redact,
                *([] if log_format == "json" else [escape_control_characters]),
                renderer,
            ],
        )
    )
    own, root = logging.getLogger("zenskar"), logging.getLogger()
    own.setLevel(level.upper())
    root.setLevel(max(own.level, logging.WARNING))
    # aiokafka logs ten times a second while a broker is unavailable; the bus logs the outage once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(is_not_about_aiokafka)
    root.handlers = [handler]


def is_not_about_aiokafka(record: logging.LogRecord) -> bool:
    """Return whether a line of asyncio is not about a connection or a task of aiokafka.

    A cancelled start of a client forgets the connection that it reads metadata from (aiokafka
    0.14, `AIOKafkaClient.bootstrap`). The garbage collector closes it, and asyncio reports the
    connection and its task as errors, although nothing is left open. The tasks of a client end with
    an error when a broker dies while they write. The bus replaces the client and logs the outage.
    """
    message = record.getMessage()
    return "AIOKafkaConnection" not in message and "/aiokafka/" not in message


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return a logger; the first argument of its calls is the event name."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace keys, passwords and e-mail addresses in every value: the last line of defence."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = scrub(value)
    return event


def escape_control_characters(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """Escape control characters in every value; only traces keep their line breaks."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = (printable_lines if key in _LINES else printable)(value)
    return event


def scrub(text: str) -> str:
    """Replace each key, password in a URL and e-mail address in a text."""
    text = _SECRET.sub("[secret]", text)
    text = _URL_PASSWORD.sub(r"\1[secret]@", text)
    return _EMAIL.sub("[email]", text)
