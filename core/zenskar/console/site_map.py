"""The pages and the actions of the console, in the order of the menu."""

from collections.abc import Sequence

from zenskar.console.page import Action, ConsolePage
from zenskar.console.pages import audit, bus, connections, overview, records, system

PAGES: Sequence[ConsolePage] = (
    overview.PAGE,
    *connections.PAGES,
    *records.PAGES,
    bus.PAGE,
    system.PAGE,
    audit.PAGE,
)
ACTIONS: Sequence[Action] = (*connections.ACTIONS, *records.ACTIONS, *system.ACTIONS)
