"""The pages and the actions of the console, in the order of the menu."""

from collections.abc import Sequence

from zenskar.console.page import Action, ConsolePage
from zenskar.console.pages import (
    audit,
    bus,
    connections,
    dead_letters,
    doctor,
    erasures,
    events,
    held,
    linking,
    overview,
    records,
    recovery,
    runs,
    system,
    trials,
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
    recovery.PAGE,
    system.PAGE,
    doctor.PAGE,
    audit.PAGE,
)
ACTIONS: Sequence[Action] = (
    *connections.ACTIONS,
    trials.ACTION,
    linking.ACTION,
    *events.ACTIONS,
    *dead_letters.ACTIONS,
    *held.ACTIONS,
    *records.ACTIONS,
    erasures.ACTION,
    *runs.ACTIONS,
    *bus.ACTIONS,
    *recovery.ACTIONS,
    *system.ACTIONS,
)
