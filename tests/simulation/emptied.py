"""The invariants of empty fields: nobody else empties a field, and no emptying is lost."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.simulation.memory import Memory, Written
from zenskar.model.fields import CUSTOMER, flatten, name_of

ENTRIES = """
    SELECT CAST(e.entity_id AS text) AS record, e.external_id, h.detail
    FROM sync_event_history AS h JOIN sync_events AS e ON e.id = h.event_id
    WHERE h.detail IS NOT NULL
"""
_BORN = frozenset({"/name", "/email"})
"""The fields of every record that is created here."""


@dataclass(frozen=True)
class Fields:
    """A living record with its written values, oldest first, and the history about it."""

    key: str
    present: Mapping[str, Any]
    written: Sequence[Written]
    details: Sequence[Mapping[str, Any]]

    def emptied_by_nobody(
        self, born: frozenset[str], held: frozenset[str], former: Sequence[Written]
    ) -> Iterator[str]:
        """Yield the empty fields that had a value and that nobody emptied.

        `former` are the values written to former objects of the record.
        """
        given = {
            one.path
            for one in self.written
            if one.value is not None and (one.side == "internal" or name_of(one.path) in held)
        }
        emptied = {one.path for one in (*self.written, *former) if one.value is None}
        for path in sorted((given | born) - emptied):
            if path not in self.present:
                yield f"{path} of {self.key} is empty, and nobody emptied it"

    def filled_by_nobody(self, held: frozenset[str]) -> Iterator[str]:
        """Yield the fields with a value that were emptied last, without a trace of that loss."""
        last = {one.path: one for one in self.written}
        for path, one in sorted(last.items()):
            unseen = one.side != "internal" and name_of(path) not in held
            if one.value is not None or path not in self.present or unseen:
                continue
            if one.side != "unheard" and not any(_shows(each, path) for each in self.details):
                value = self.present[path]
                yield f"{path} of {self.key} is {value}, though {one.side} emptied it"


def wrong_fields(
    records: Sequence[Mapping[str, Any]],
    mappings: Sequence[Mapping[str, Any]],
    entries: Sequence[Mapping[str, Any]],
    memory: Memory,
    held: frozenset[str],
    *,
    names_only: bool,
) -> list[str]:
    """Return the fields that are empty, or not empty, without a reason."""
    found: list[str] = []
    for record in records:
        if record["deleted_at"] is not None:
            continue
        key = record["key"]
        linked = [m for m in mappings if m["key"] == key]
        ids = {m["external_id"] for m in linked if m["state"] == "active"}
        former_ids = {m["external_id"] for m in linked} - ids
        # The trials on Kafka remember values without their fields.
        known = [one for one in memory.written if one.path]
        written = [one for one in known if one.whose in {key, *ids}]
        about = [e for e in entries if e["record"] == key or e["external_id"] in ids]
        details = [json.loads(entry["detail"]) for entry in about]
        fields = Fields(key, flatten(CUSTOMER, record), written, details)
        born = _BORN if key in memory.local else frozenset()
        if key not in memory.blind:
            former = [one for one in known if one.whose in former_ids]
            found += fields.emptied_by_nobody(born, held, former)
        if not names_only:
            found += fields.filled_by_nobody(held)
    return found


def _shows(detail: Mapping[str, Any], path: str) -> bool:
    """Whether an entry shows that the emptying of a field lost against another value."""
    if any(each["path"] == path for each in detail.get("conflicts", ())):
        return True
    seen = detail.get("seen", {})
    return path in seen and seen[path] is None
