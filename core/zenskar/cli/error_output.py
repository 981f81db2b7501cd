"""The failure of a command: one line on standard error, and an exit code."""

import sys

from zenskar.errors import ZenskarError
from zenskar.telemetry.terminal import printable


def exit_code_of(error: ZenskarError | KeyboardInterrupt) -> int:
    """Print an error, unless the user interrupted the command, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    print_error(str(error))
    return 1


def print_error(text: str) -> None:
    """Print a line on standard error, with secrets replaced."""
    from zenskar.telemetry.logs import scrub

    print(printable(f"error: {' '.join(scrub(text).split())}"), file=sys.stderr)  # noqa: T201
