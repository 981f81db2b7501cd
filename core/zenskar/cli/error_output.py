"""How a command fails: one line on standard error, and an exit code."""

import sys

from zenskar.errors import ZenskarError
from zenskar.telemetry.terminal import printable


def exit_code_of(error: ZenskarError | KeyboardInterrupt) -> int:
    """Say what went wrong, unless it was the user who stopped it, and return the exit code."""
    if isinstance(error, KeyboardInterrupt):
        return 130
    print_error(str(error))
    return 1


def print_error(text: str) -> None:
    """Print one line on standard error, without what may be a secret."""
    from zenskar.telemetry.logs import scrub

    print(printable(f"error: {' '.join(scrub(text).split())}"), file=sys.stderr)  # noqa: T201
