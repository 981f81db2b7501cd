"""Check that both directions of a field map undo each other."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from zenskar.model.fields import EntityShape, difference, flatten, merge_patch, name_of
from zenskar.model.integration import Change
from zenskar.model.record import IntentKind

_RECORD_ID = "01a20314-5e03-76b9-881e-849ddccd441f"


class Translation(Protocol):
    """Both directions of a translation, and how the external system shows empty members."""

    omits_empty: bool

    def blank(self) -> dict[str, Any]:
        """Return an external object that shows every member, without a value."""

    def to_canonical(self, data: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return the canonical document of an external object."""

    def from_canonical(self, change: Change) -> dict[str, Any]:
        """Return the body of the push for a change."""

    def record_id(self, data: Mapping[str, Any] | None) -> str | None:
        """Return the id of our record that an external object carries."""


class RoundTrip:
    """Sends documents through a translation, to an external system that stores what it gets."""

    def __init__(self, translation: Translation, shape: EntityShape) -> None:
        self._translation, self._shape = translation, shape

    def check(self, documents: Sequence[Mapping[str, Any]]) -> None:
        """Create each document, change it into every other, and read it back."""
        blank = self._translation.blank()
        for first in documents:
            created = self._push(IntentKind.CREATE, {}, first, blank)
            self._compare("after a create", created, first)
            self._check_unseen(created, first)
            for second in documents:
                updated = self._push(IntentKind.UPDATE, first, second, created)
                self._compare("after an update", updated, second)

    def _push(
        self,
        kind: IntentKind,
        old: Mapping[str, Any],
        new: Mapping[str, Any],
        data: Mapping[str, Any],
    ) -> dict[str, Any]:
        changes = difference(flatten(self._shape, old), flatten(self._shape, new))
        patch = merge_patch(self._shape, changes)
        change = Change(kind, self._shape.entity_type, _RECORD_ID, patch, new)
        body = self._translation.from_canonical(change)
        again = self._translation.from_canonical(change)
        assert body == again, f"the bodies of one change differ: {body} and {again}"  # noqa: S101
        stored: dict[str, Any] = _stored(data, body)
        return stored

    def _compare(self, when: str, data: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        shown = _without_empty(data) if self._translation.omits_empty else data
        seen = self._translation.to_canonical(shown)
        # An unseen field would keep its value here, although the external system has emptied it.
        unseen = ", ".join(sorted(self._shape.names - seen.keys()))
        assert not unseen, f"{unseen} is not seen {when}"  # noqa: S101
        found, wanted = flatten(self._shape, seen), flatten(self._shape, document)
        for path in sorted({*found, *wanted}):
            ours, theirs = wanted.get(path), found.get(path)
            assert ours == theirs, f"{path} {when} is {theirs!r}, not {ours!r}"  # noqa: S101

    def _check_unseen(self, data: Mapping[str, Any], document: Mapping[str, Any]) -> None:
        """Check that a member which is not shown empties no field."""
        wanted = flatten(self._shape, document)
        for left_out in () if self._translation.omits_empty else data:
            shown = {name: value for name, value in data.items() if name != left_out}
            found = self._translation.to_canonical(shown)
            seen = flatten(self._shape, found)
            for path, value in wanted.items():
                kept = name_of(path) not in found or seen.get(path) == value
                assert kept, f"{path} is emptied when {left_out} is not shown"  # noqa: S101


def _stored(data: Any, body: Any) -> Any:
    """Return an object after a push: members are merged, and an empty text is null."""
    if not isinstance(body, Mapping):
        return None if body == "" else body
    old = data if isinstance(data, Mapping) else {}
    return {**old, **{name: _stored(old.get(name), value) for name, value in body.items()}}


def _without_empty(data: Mapping[str, Any]) -> dict[str, Any]:
    inner = {
        name: _without_empty(value) if isinstance(value, Mapping) else value
        for name, value in data.items()
    }
    return {name: value for name, value in inner.items() if value not in (None, {})}
