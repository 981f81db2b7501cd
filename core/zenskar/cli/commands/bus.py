"""`zenskar bus`."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from zenskar.cli.bulk_session import with_factory
from zenskar.cli.render.event_list import Limit
from zenskar.cli.render.output import Output, OutputOption, print_json, print_lines, print_table
from zenskar.cli.replay_session import ReasonOption, current_actor

if TYPE_CHECKING:
    from zenskar.ops.state.bus_messages import PeekedMessage

app = typer.Typer(no_args_is_help=True, help="The messages that wait on the bus.")
_PARTITIONS = {
    "place": "PARTITION",
    "begin": "FIRST",
    "committed": "COMMITTED",
    "end": "END",
    "behind": "BEHIND",
    "owner": "OWNER",
}
_DEPTHS = {
    "topic": "TOPIC",
    "source": "SOURCE",
    "state": "STATE",
    "count": "MESSAGES",
    "oldest_at": "OLDEST IS DUE",
}
_MESSAGES = {
    "place": "PLACE",
    "topic": "TOPIC",
    "key": "KEY",
    "source": "SOURCE",
    "state": "STATE",
    "attempts": "ATTEMPTS",
    "available_at": "DUE",
}
_PEEKED = ("place", "topic", "key", "state", "attempts", "event_id", "status", "problem")
Place = Annotated[
    str,
    typer.Argument(
        metavar="PLACE",
        help="outbox/ID, TOPIC/PARTITION/OFFSET, or TOPIC/PARTITION for the one at the head.",
    ),
]


@app.command("list")
def show(limit: Limit = 25, output: OutputOption = Output.TABLE) -> None:
    """List the partitions with their owners, and the oldest messages in the outbox."""
    from zenskar.ops.state import bus_state

    found = with_factory(lambda factory: factory.bus_messages().state(most=limit))
    partitions, messages = bus_state.partition_rows(found), bus_state.message_rows(found)
    if output is Output.JSON:
        counts = [asdict(each) for each in found.depths]
        print_json(
            {
                "partitions": partitions,
                "problem": found.problem or None,
                "outbox": counts,
                "complete": found.complete,
                "oldest": messages,
            }
        )
        return
    if found.problem:
        print_lines(found.problem)
    if partitions:
        print_table(_PARTITIONS, partitions)
    if found.depths:
        print_table(_DEPTHS, [asdict(each) for each in found.depths])
        print_table(_MESSAGES, messages)
    else:
        print_lines("The outbox is empty.")


@app.command("peek")
def peek(place: Place, output: OutputOption = Output.TABLE) -> None:
    """Show a message without values; the message stays where it is."""
    from zenskar.ops.state.message_place import parse_place

    where = parse_place(place)
    found = with_factory(lambda factory: factory.bus_messages().peek(where))
    if output is Output.JSON:
        print_json(asdict(found))
    else:
        _print(found)


@app.command("dead-letter")
def dead_letter(
    place: Place,
    reason: ReasonOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the message.")] = False,
    output: OutputOption = Output.TABLE,
) -> None:
    """End a message as a dead letter, and take it from the bus.

    On Kafka only the message at the head of a partition can go, while no worker has this role.
    """
    from zenskar.ops.state.message_place import parse_place

    where, by = parse_place(place), current_actor(reason)
    if dry_run:
        peek(place, output)
        return
    done = with_factory(lambda factory: factory.bus_messages().dead_letter(where, by))
    if output is Output.JSON:
        print_json(asdict(done))
    elif done.dead:
        print_lines(f"The message is a dead letter: see `zenskar dlq show {done.event_id}`.")
    else:
        print_lines(f"The message is gone; its event {done.event_id} had ended before.")


def _print(found: "PeekedMessage") -> None:
    import orjson

    print_lines(*(f"{name}: {getattr(found, name)}" for name in _PEEKED if getattr(found, name)))
    message = found.message
    if not isinstance(message, str):
        message = orjson.dumps(message, option=orjson.OPT_INDENT_2).decode()
    print_lines(*message.splitlines())
