"""Structured logs: one event name a line, the correlation id on each."""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal, TextIO

_SECRET = re.compile(r"\b(?:sk|rk|pk|zsk)_[A-Za-z0-9_]{6,}|\bwhsec_[A-Za-z0-9_+/=-]{6,}")
_EMAIL = re.compile(r"[^\s@\"'<>=]+@[^\s@\"'<>]+\.[A-Za-z]{2,}")
_URL_PASSWORD = re.compile(r"(://[^:/@\s]+:)[^@\s]+@")

_correlation: ContextVar[str | None] = ContextVar("correlation_id", default=None)


class Logger:
    """Logs events by their name, with what is to be said about them."""

    __slots__ = ("_logger",)

    def __init__(self, name: str) -> None:
        self._logger = logging.getLogger(name)

    def debug(self, event: str, **fields: Any) -> None:
        """Say what helps to find a bug."""
        self._log(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: Any) -> None:
        """Say what happens in an ordinary run."""
        self._log(logging.INFO, event, fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Say what went wrong and mends itself."""
        self._log(logging.WARNING, event, fields)

    def error(self, event: str, **fields: Any) -> None:
        """Say what somebody has to look at."""
        self._log(logging.ERROR, event, fields)

    def exception(self, event: str, **fields: Any) -> None:
        """Log an error with the traceback of what is being handled."""
        self._log(logging.ERROR, event, fields, exc_info=True)

    def _log(
        self, level: int, event: str, fields: Mapping[str, Any], *, exc_info: bool = False
    ) -> None:
        if self._logger.isEnabledFor(level):
            self._logger.log(level, "%s", event, extra={"fields": fields}, exc_info=exc_info)


class _Formatter(logging.Formatter):
    """Writes a line as JSON, or for people; of libraries too."""

    def __init__(self, *, for_people: bool) -> None:
        super().__init__()
        self._for_people = for_people

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            **getattr(record, "fields", {}),
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="microseconds")
            .replace("+00:00", "Z"),
        }
        if (correlation_id := _correlation.get()) is not None:
            line["correlation_id"] = correlation_id
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        redact(line)
        return _for_people(line) if self._for_people else json.dumps(line, default=repr)


def configure(
    level: Literal["debug", "info", "warning", "error"],
    log_format: Literal["json", "console"],
    stream: TextIO | None = None,
) -> None:
    """Send every log line of the process to `stream` (standard error), libraries' from warning."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_Formatter(for_people=log_format == "console"))
    own, root = logging.getLogger("zenskar"), logging.getLogger()
    own.setLevel(level.upper())
    root.setLevel(max(own.level, logging.WARNING))
    # It repeats itself ten times a second while a broker is away; what matters, the bus says once.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    root.handlers = [handler]


def get_logger(name: str) -> Logger:
    """Return a logger; the first argument of its calls is the event name."""
    return Logger(name)


def bind(correlation_id: str) -> None:
    """Put a correlation id on all lines of this task from now on."""
    _correlation.set(correlation_id)


@contextmanager
def bound(correlation_id: str) -> Iterator[None]:
    """Put a correlation id on all lines of a block."""
    token = _correlation.set(correlation_id)
    try:
        yield
    finally:
        _correlation.reset(token)


def redact(line: dict[str, Any]) -> None:
    """Last line of defence: blank out what looks like a key, a password or an e-mail address."""
    for key, value in line.items():
        if isinstance(value, str):
            line[key] = scrub(value)


def scrub(text: str) -> str:
    """Blank out what looks like a key, a password in a URL or an e-mail address."""
    text = _SECRET.sub("[secret]", text)
    text = _URL_PASSWORD.sub(r"\1[secret]@", text)
    return _EMAIL.sub("[email]", text)


def _for_people(line: Mapping[str, Any]) -> str:
    first = ("timestamp", "level", "event", "logger", "exception")
    moment, level, event, logger, trouble = (line.get(name, "") for name in first)
    rest = " ".join(f"{name}={_shown(line[name])}" for name in sorted(line.keys() - {*first}))
    text = f"{moment} [{level:<8}] {event:<30} [{logger}] {rest}".rstrip()
    return f"{text}\n{trouble}" if trouble else text


def _shown(value: Any) -> str:
    """As it is if it is one word, else so that it can be told from what follows."""
    return value if isinstance(value, str) and re.fullmatch(r"[^\s=\"']+", value) else repr(value)
