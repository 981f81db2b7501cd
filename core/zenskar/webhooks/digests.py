"""Derive the id of an event from its content."""

import hashlib
import json
from collections.abc import Collection, Mapping
from typing import Any


def event_digest(event: Any, *, without: Collection[str] = ()) -> str:
    """Return an id for an event without one: the same for each delivery, other for other content.

    Name in `without` the top-level members that change between the deliveries of one event, such
    as the number of the attempt. The order of the members does not matter.
    """
    if isinstance(event, Mapping):
        event = {name: value for name, value in event.items() if name not in without}
    text = json.dumps(event, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
