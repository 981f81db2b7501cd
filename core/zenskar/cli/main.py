"""The `zenskar` command."""

import os
import sys
import warnings

_INTERRUPTED = 130


def main() -> None:
    """Run the command line."""
    _open_closed_streams()
    if not sys.warnoptions:
        # Deprecation warnings of libraries are for developers; an operator cannot act on them.
        warnings.simplefilter("ignore")
    try:
        # The load of all commands takes long enough for a Ctrl-C.
        from zenskar.cli.app import app

        app()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _open_closed_streams() -> None:
    """Open the null device for each standard stream that the caller has closed.

    Otherwise the next socket gets its number, and a line for the stream goes into the socket.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


if __name__ == "__main__":
    main()
