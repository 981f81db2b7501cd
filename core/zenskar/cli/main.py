"""The `zenskar` command."""

import sys
import warnings

from zenskar.cli.app import app


def main() -> None:
    """Run the command line."""
    if not sys.warnoptions:
        # Deprecation warnings of libraries are for developers; an operator cannot act on them.
        warnings.simplefilter("ignore")
    app()


if __name__ == "__main__":
    main()
