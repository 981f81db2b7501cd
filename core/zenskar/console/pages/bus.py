"""The bus: the partitions of the log, the messages in the outbox, and one message of them."""

from collections.abc import Mapping
from typing import Any

import orjson

from zenskar.console.page import ROOT, Action, ConsolePage, Done, Preview, Visit
from zenskar.model.scope import Scope
from zenskar.ops.state.bus_messages import PeekedMessage
from zenskar.ops.state.message_place import LogPlace, OutboxPlace, parse_place

SECTION = "/bus"
_MESSAGE = f"{SECTION}/messages/{{place:[^/]+/[^/]+(?:/[0-9]+)?}}"
_MOST_SHOWN = 25
_SECONDS = 8.0
"""A broker that does not answer has a time limit of its own, and then the outbox is read."""
_STATES = ("due", "delayed", "parked", "claimed")


async def read(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page."""
    services = visit.services
    found = await services.operations.bus_messages().state(most=_MOST_SHOWN)
    return {
        "kafka": bool(services.settings.kafka_bootstrap_servers),
        "log": list(found.partitions.items()),
        "problem": found.problem,
        "behind": sum(each.behind for each in found.partitions.values()),
        "depths": found.depths,
        "by_state": {
            state: sum(each.count for each in found.depths if each.state == state)
            for state in _STATES
        },
        "oldest": found.oldest,
        "complete": found.complete,
    }


async def read_message(visit: Visit) -> Mapping[str, Any]:
    """Return the data of the page of one message, without values. Raises `NotFound`."""
    found = await visit.services.operations.bus_messages().peek(_place(visit))
    message = found.message
    text = message if isinstance(message, str) else _pretty(message)
    return {"found": found, "text": text, "refusal": _refusal(found)}


def _pretty(message: Any) -> str:
    return orjson.dumps(message, option=orjson.OPT_INDENT_2).decode()


def _place(visit: Visit) -> OutboxPlace | LogPlace:
    """Return the place in the path. Raises `InvalidInput`."""
    return parse_place(visit.part("place"))


def _refusal(found: PeekedMessage) -> str:
    """Return why the message cannot be ended, empty if it can."""
    if found.state == "claimed":
        return "A worker processes the message now. Stop the workers with this role first, or wait."
    if found.state in {"waiting", "done"}:
        return "Only the message at the head of a partition can be dead-lettered."
    return ""


async def preview_dead_letter(visit: Visit) -> Preview:
    """Show the message that would be dead-lettered."""
    found = await visit.services.operations.bus_messages().peek(_place(visit))
    facts = [
        ("Place", found.place),
        ("Connection", found.source or "not readable"),
        ("Event", found.event_type or "not readable"),
        ("Attempts", f"{found.attempts:,}"),
    ]
    return Preview(
        "Dead-letter this message?",
        "It becomes a dead letter without processing, and the messages behind it go on. "
        "The dead letter can be retried.",
        "Dead-letter",
        f"{ROOT}{SECTION}/messages/{found.place}",
        counts=facts,
        dangerous=True,
        refusal=_refusal(found),
    )


async def dead_letter(visit: Visit) -> Done:
    """Dead-letter the message."""
    done = await visit.services.operations.bus_messages().dead_letter(_place(visit), visit.actor)
    text = "is a dead letter" if done.dead else "is gone; its event had ended before"
    return Done(f"The message {text}.", f"{ROOT}/events/{done.event_id}")


PAGES = (
    ConsolePage(SECTION, "bus.html", read, menu="Bus", icon="bus", live=True, seconds=_SECONDS),
    ConsolePage(_MESSAGE, "bus_message.html", read_message, section=SECTION, seconds=_SECONDS),
)
ACTIONS = (
    Action(
        f"{_MESSAGE}/dead-letter", preview_dead_letter, dead_letter, SECTION, Scope.ADMIN, _SECONDS
    ),
)
