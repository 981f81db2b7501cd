"""Mark the hooks of plugins for pluggy."""

from typing import Any

import pluggy

PROJECT = "zenskar"
hookspec = pluggy.HookspecMarker(PROJECT)


def specified(value: Any) -> bool:
    """Return whether a member of a class is marked as a hook."""
    return hasattr(value, f"{PROJECT}_spec")
