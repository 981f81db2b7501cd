"""The pages and the actions of the console, in the order of the menu."""

from collections.abc import Sequence

from zenskar.console.page import Action, ConsolePage
from zenskar.console.pages import overview

PAGES: Sequence[ConsolePage] = (overview.PAGE,)
ACTIONS: Sequence[Action] = ()
