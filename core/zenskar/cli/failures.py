"""How a command fails: one line on standard error, and an exit code."""

from typing import Any

import typer
from typer.core import TyperGroup

from zenskar.errors import ZenskarError


class Commands(TyperGroup):
    """The root of the commands; an error of zenskar's own needs no traceback."""

    def invoke(self, ctx: Any) -> Any:
        """Run a command."""
        try:
            return super().invoke(ctx)
        except ZenskarError as error:
            say_error(str(error))
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            raise typer.Exit(130) from None


def say_error(text: str) -> None:
    """Print one line on standard error, without what may be a secret."""
    from zenskar.telemetry.logs import scrub

    typer.echo(f"error: {' '.join(scrub(text).split())}", err=True)
