"""The official SDK, as `stripe`, without the HTTP clients that it would choose from."""

import importlib
import sys
from typing import TYPE_CHECKING, Any

__all__ = ["stripe"]

_UNUSED = ("requests", "httpx")
"""Loaded by the SDK only to know what to use where it is given no client; ours is aiohttp."""


def _load() -> Any:
    """None for a module says that it is not there, which the SDK is prepared for."""
    absent: dict[str, Any] = {name: None for name in _UNUSED if name not in sys.modules}
    sys.modules.update(absent)
    try:
        return importlib.import_module("stripe")
    finally:
        for name in absent:
            del sys.modules[name]


if TYPE_CHECKING:
    import stripe
else:
    stripe = _load()
