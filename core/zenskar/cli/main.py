"""The `zenskar` command."""

import sys
import warnings
from collections.abc import Callable

from zenskar.cli import servers
from zenskar.cli.errors import failure_code
from zenskar.errors import ZenskarError


def main() -> None:
    """Run the command line; a server that is told nothing more needs none."""
    if not sys.warnoptions:
        # Libraries warn whoever develops with them; here that would be noise between the lines.
        warnings.simplefilter("ignore")
    match sys.argv[1:]:
        case ["api"]:
            _serve(servers.api)
        case ["worker"]:
            _serve(servers.worker)
        case _:
            from zenskar.cli.app import app

            app()


def _serve(server: Callable[[], None]) -> None:
    try:
        server()
    except (ZenskarError, KeyboardInterrupt) as error:
        sys.exit(failure_code(error))


if __name__ == "__main__":
    main()
