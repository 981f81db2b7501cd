"""The failure of a command: one line on standard error, and an exit code.

The line is JSON where logs are: in a server unless console logs are set, else if JSON logs are set.
"""

import errno
import sys

from zenskar.errors import ZenskarError
from zenskar.telemetry.terminal import printable

_USAGE = 2
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_SERVERS = frozenset({"api", "worker"})


def exit_code_of(error: Exception | KeyboardInterrupt, command: str | None) -> int:
    """Report the failure of a command, unless the user interrupted it, and return the exit code.

    Raises an unexpected or a usage error again, unless the line is JSON.
    """
    if isinstance(error, KeyboardInterrupt):
        return 130
    if isinstance(error, ZenskarError):
        print_error(str(error), command)
        return 1
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        print_error(f"the output cannot be written: {error.strerror}", command)
        return 1
    if not _is_json(command):
        raise error
    # The class of a usage error is private to typer, and differs between its releases.
    text = getattr(error, "format_message", None)
    if text is None:
        _log_crash(error)
        return 1
    print_error(text(), command)
    return _USAGE


def print_error(text: str, command: str | None = None) -> None:
    """Print a line on standard error, with secrets replaced."""
    from zenskar.telemetry import logs

    if _is_json(command):
        logs.configure("error", "json")
        _log = logs.get_logger("zenskar.cli")
        _log.error("command_failed", problem=text)
        return
    line = " ".join(logs.scrub(text).split())
    print(printable(f"error: {line}"), file=sys.stderr)  # noqa: T201


def _log_crash(error: Exception) -> None:
    from zenskar.telemetry import logs
    from zenskar.telemetry.stack_traces import trace

    logs.configure("error", "json")
    _log = logs.get_logger("zenskar.cli")
    _log.error("command_crashed", trace=trace(error))


def _is_json(command: str | None) -> bool:
    from zenskar.settings import environment, lookup

    try:
        wanted = lookup(environment(), "ZENSKAR_LOG_FORMAT")
    except ZenskarError:
        wanted = None
    return wanted == "json" or (command in _SERVERS and wanted != "console")
