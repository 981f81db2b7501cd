"""The pages and the actions of the console, in the order of the menu."""

from collections.abc import Sequence

from zenskar.console.page import Action, ConsolePage
from zenskar.console.pages import (
    audit,
    bus,
    connections,
    dead_letters,
    events,
    held,
    overview,
    records,
    runs,
    system,
)

PAGES: Sequence[ConsolePage] = (
    overview.PAGE,
    *connections.PAGES,
    *events.PAGES,
    dead_letters.PAGE,
    held.PAGE,
    *records.PAGES,
    *runs.PAGES,
    *bus.PAGES,
    system.PAGE,
    audit.PAGE,
)
ACTIONS: Sequence[Action] = (
    *connections.ACTIONS,
    *events.ACTIONS,
    *dead_letters.ACTIONS,
    *held.ACTIONS,
    *records.ACTIONS,
    *runs.ACTIONS,
    *bus.ACTIONS,
    *system.ACTIONS,
)
