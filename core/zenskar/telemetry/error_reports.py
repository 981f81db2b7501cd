"""Reports of logged errors to Sentry, off unless `SENTRY_DSN` is set."""

import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from zenskar.errors import ConfigurationError, ZenskarError
from zenskar.telemetry.logs import scrub
from zenskar.telemetry.stack_traces import trace

if TYPE_CHECKING:
    from sentry_sdk import Client
    from sentry_sdk.transport import Transport

_DSN = "SENTRY_DSN"
_FLUSH_SECONDS = 2.0
_LOGGERS = ("zenskar", "asyncio", "aiohttp")
_FRAME = re.compile(r"  (?P<file>.+):(?P<line>\d+) in (?P<function>.+)")
_NO_TAGS = frozenset({"level", "logger", "timestamp"})
_PYTHON_FRAME = re.compile(r'  File "(?P<file>.+)", line (?P<line>\d+), in (?P<function>.+)')


@contextmanager
def reported_errors(
    variables: Mapping[str, str], service: str, transport: "type[Transport] | None" = None
) -> Iterator[None]:
    """Report each logged error of a service in the block, if the variables name a Sentry.

    Raises `ConfigurationError` without the extra `sentry`, and for a wrong address.
    """
    if not (dsn := variables.get(_DSN, "").strip()):
        yield
        return
    client = _client(dsn, transport)
    handler, root = ErrorReporter(client, service), logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    except ZenskarError:
        raise
    except Exception as error:
        handler.send_crash(error)
        raise
    finally:
        root.removeHandler(handler)
        client.close(timeout=_FLUSH_SECONDS)


class ErrorReporter(logging.Handler):
    """Sends the log lines of level error: the same members, so nothing that no log line holds."""

    def __init__(self, client: "Client", service: str) -> None:
        super().__init__(logging.ERROR)
        self._client = client
        self._service = service

    def emit(self, record: logging.LogRecord) -> None:
        """Send a line. A thread of Sentry's client makes the call."""
        if record.name.split(".")[0] in _LOGGERS:
            self._client.capture_event(report(record, self._service))

    def send_crash(self, error: Exception) -> None:
        """Send the error that ends the process."""
        tags = {"service": self._service}
        errors = _errors(trace(error))
        self._client.capture_event(
            {"level": "fatal", "tags": tags, "exception": {"values": errors}}
        )


def report(record: logging.LogRecord, service: str) -> Any:
    """Return the report of a log line: its event, its ids as tags, and the places in the code."""
    # The arguments and the error of another library's line may hold anything.
    own = dict(record.msg) if isinstance(record.msg, Mapping) else {"event": str(record.msg)}
    if record.exc_info and record.exc_info[1] is not None:
        own["trace"] = trace(record.exc_info[1])
    errors = _errors([*own.pop("trace", ()), *own.pop("error_types", ())[:1], *_lines(own)])
    event = str(own.pop("event", record.name))
    tags = {
        name: scrub(str(value))[:200]
        for name, value in own.items()
        if value is not None and name not in _NO_TAGS
    }
    made: dict[str, Any] = {
        "level": record.levelname.lower(),
        "logger": record.name,
        "logentry": {"message": scrub(event)},
        "tags": {"service": service, **tags},
    }
    if errors:
        made["exception"] = {"values": errors}
    else:
        made["fingerprint"] = [record.name, event]
    return made


def _lines(own: dict[str, Any]) -> list[str]:
    return str(own.pop("traceback", "")).splitlines()


def _errors(lines: list[str]) -> list[dict[str, Any]]:
    """Return the errors of a trace in Sentry's form, without their texts."""
    errors: list[dict[str, Any]] = []
    for line in lines:
        found = _FRAME.fullmatch(line) or _PYTHON_FRAME.fullmatch(line)
        if found is None and not line.startswith(" "):
            errors.append({"type": scrub(line), "value": "", "stacktrace": {"frames": []}})
        elif found is None:
            continue
        elif errors:
            frame = {
                "filename": found["file"],
                "lineno": int(found["line"]),
                "function": found["function"],
            }
            errors[-1]["stacktrace"]["frames"].append(frame)
    return errors


def _client(dsn: str, transport: "type[Transport] | None") -> "Client":
    try:
        from sentry_sdk import Client
    except ModuleNotFoundError:
        text = f"{_DSN} is set: install zenskar[sentry], or unset it"
        raise ConfigurationError(text) from None
    try:
        return Client(
            dsn=dsn,
            release=os.environ.get("SENTRY_RELEASE") or f"zenskar@{version('zenskar')}",
            # Integrations of Sentry would collect requests, local variables and log lines.
            default_integrations=False,
            auto_enabling_integrations=False,
            include_local_variables=False,
            include_source_context=False,
            max_request_body_size="never",
            transport=transport,
        )
    except ValueError:
        raise ConfigurationError(f"{_DSN} is no address of a Sentry project") from None
