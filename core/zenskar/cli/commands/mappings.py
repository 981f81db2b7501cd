"""`zenskar mappings`."""

from typing import TYPE_CHECKING, Annotated

import typer

from zenskar.cli import session
from zenskar.cli.bulk_session import Source, with_factory
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption, current_actor
from zenskar.errors import InvalidInput

if TYPE_CHECKING:
    from zenskar.ops.link import ObjectLink

app = typer.Typer(no_args_is_help=True, help="Links between records and external objects.")
_COLUMNS = {"field": "FIELD", "fate": "EFFECT"}


@app.callback()
def mappings() -> None:
    """Group the commands, even a single command."""


@app.command("link")
def link(  # noqa: PLR0913, PLR0917 - one for each option
    source: Source,
    external: Annotated[str, typer.Argument(help="The id of the object in that system.")],
    record: Annotated[str | None, typer.Argument(help="The id of the customer.")] = None,
    new: Annotated[bool, typer.Option("--new", help="Create a customer for the object.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only print the effect on each field.")
    ] = False,
    reason: ReasonOption = None,
    output: OutputOption = Output.TABLE,
) -> None:
    """Link an object that has no customer yet, and end its dead letters.

    Name the customer, or give --new. The object is fetched first, and both sides are merged.
    """
    if (record is None) is not new:
        raise InvalidInput("name the customer, or give --new, and not both")
    record_id = None if record is None else session.parse_id(record)
    by = current_actor(reason)
    result = with_factory(
        lambda factory: factory.object_linker().link(
            source, "customer", external, record_id, by, dry_run=dry_run
        ),
        with_worker=not dry_run,
    )
    if output is Output.JSON:
        print_json(result)
    else:
        _show(result)


def _show(result: "ObjectLink") -> None:
    record = "a new customer" if result.creates_record else f"the customer {result.record_id}"
    verb = "is linked with" if result.done else "would be linked with"
    print_lines(f"{result.external_id} of {result.source_system} {verb} {record}.")
    if result.outside:
        print_lines("The filter excludes the customer: both are joined when the customer passes.")
    if result.dead_letters:
        print_lines(f"Dead letters that {'ended' if result.done else 'end'}: {result.dead_letters}")
    if result.fields:
        print_table(_COLUMNS, [{"field": f, "fate": e.value} for f, e in result.fields.items()])
