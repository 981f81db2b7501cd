"""Translate between an integration's terms and the canonical form, checked on both sides."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from zenskar.db.driver.storable import MOST_ID_CHARACTERS, is_indexable, storable
from zenskar.errors import (
    REPLACEMENT,
    CallFailed,
    Failure,
    FailureKind,
    InvalidInput,
    SchemaViolation,
    Violation,
)
from zenskar.model.fields import (
    SHAPES,
    DocumentView,
    Fields,
    Shown,
    merge_patch,
    unflatten,
)
from zenskar.model.integration import Change, ExternalObject
from zenskar.model.interval import Interval
from zenskar.model.record import IntentKind, Record
from zenskar.plugins.carried import carried
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.router import PluginRouter
from zenskar.schema_catalog import Schema

_MOST_MEMO_BYTES = 4096


class RuleViolation(SchemaViolation):
    """An object breaks a rule of the profile, which refuses such objects."""


class Translator:
    """Calls the transforming hooks of the owner, and checks their input and output."""

    def __init__(
        self,
        router: PluginRouter,
        connections: Mapping[str, ConfiguredConnection],
        schemas: Mapping[str, Schema],
    ) -> None:
        self._router = router
        self._connections = connections
        self._schemas = schemas

    def document(self, source: str, seen: ExternalObject) -> dict[str, Any] | None:
        """Return the canonical document of an external object, None when it is deleted.

        Raises `InvalidInput`, mostly as `SchemaViolation`, when the object or its translation is
        not valid, `CallFailed` when the integration fails.
        """
        check_id(seen.external_id)
        seen = replace(seen, data=storable(seen.data))
        self.check_object(source, seen)
        document = self.translate(source, seen)
        self.check_document(seen, document)
        return document

    def check_object(self, source: str, seen: ExternalObject | None) -> None:
        """Raise `SchemaViolation` if a storable object is not valid in its integration's terms."""
        if seen is not None and seen.merged_into is not None:
            _check_merge(seen)
        if seen is not None and seen.purged and seen.data is not None:
            raise _violation("/purged", "must be False for an object with data")
        if seen is None or seen.data is None:
            return
        _check_marks(seen)
        own = self._connections[source].plugin.schemas.get(seen.entity_type)
        if own is not None:
            own.check(seen.data, nul_free=True)

    def translate(self, source: str, seen: ExternalObject | None) -> dict[str, Any] | None:
        """Return the integration's translation of a valid object, in a form that can be stored.

        Raises `InvalidInput` when the integration refuses the object, `CallFailed` when it fails.
        """
        if seen is None or seen.data is None:
            return None
        try:
            made = _mapping(self._router.call(source, "to_canonical", seen=seen))
        except InvalidInput:
            raise
        except Exception as error:
            raise CallFailed(self._router.classify(source, error)) from error
        kept: dict[str, Any] = storable(made)
        return kept

    def check_document(self, seen: ExternalObject | None, document: Fields | None) -> None:
        """Raise `SchemaViolation` if the translation of an object is not valid."""
        if seen is not None and document is not None:
            self._schemas[seen.entity_type].check(document, nul_free=True)

    def check_rules(self, source: str, entity_type: str, document: Fields | None) -> None:
        """Raise `RuleViolation` if the connection refuses an object for a rule of its profile.

        Fields that the document does not show break no rule, nor does an object that is seen
        whole and outside of the filter.
        """
        connection = self._connections[source]
        rules = connection.rules.get(entity_type)
        if document is None or rules is None or not rules.refuse:
            return
        shown = self.view(source, entity_type).show(document)
        fields = shown.fields or {}
        if not shown.unseen and not connection.travels(entity_type, fields):
            return
        found = [v for v in rules.violations(fields) if not shown.hides(v.pointer)]
        if found:
            raise RuleViolation(f"the {entity_type}, by the profile of {source},", found)

    def shown(self, source: str, seen: ExternalObject, *, checked: bool = False) -> Shown:
        """Return the fields that an answer shows.

        Raises `CallFailed` of kind `UNKNOWN_OUTCOME` for an answer that cannot be read. Raises one
        of kind `REJECTED` for a `checked` answer whose object the profile refuses.
        """
        try:
            document = self.document(source, seen)
            if checked:
                self.check_rules(source, seen.entity_type, document)
        except RuleViolation as error:
            raise CallFailed(Failure(FailureKind.REJECTED, str(error))) from error
        except InvalidInput as error:
            # The text of any other error is the integration's and may hold values.
            why = f": {error}" if isinstance(error, SchemaViolation) else ""
            failure = Failure(FailureKind.UNKNOWN_OUTCOME, f"the answer cannot be read{why}")
            raise CallFailed(failure) from error
        return self.view(source, seen.entity_type).show(document)

    def blank(self, seen: ExternalObject) -> Shown:
        """Return that an answer shows no field of an object.

        Raises `CallFailed` of kind `UNKNOWN_OUTCOME` for an id that cannot be stored.
        """
        try:
            check_id(seen.external_id)
        except SchemaViolation as error:
            failure = Failure(FailureKind.UNKNOWN_OUTCOME, f"the answer cannot be read: {error}")
            raise CallFailed(failure) from error
        return Shown({}, SHAPES[seen.entity_type].names)

    def syncs(self, source: str, entity_type: str) -> bool:
        """Return whether objects of an entity type can become records of the catalog."""
        return entity_type in SHAPES and entity_type in self._router.owner(source).entities

    def view(self, source: str, entity_type: str) -> DocumentView:
        """Return the reading of a connection's documents, by its profile if it has one."""
        routes = self._connections[source].routes.get(entity_type)
        return routes or carried(self._router.owner(source), entity_type)

    def body(
        self,
        source: str,
        kind: IntentKind,
        entity_type: str,
        record: Record,
        changes: Fields,
        *,
        memo: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """Return the body of a push, in the integration's own terms.

        The arguments are those of `change`.
        Raises `CallFailed` when the integration cannot make the body.
        """
        change = self.change(source, kind, entity_type, record, changes, memo=memo)
        try:
            return _mapping(self._router.call(source, "from_canonical", change=change))
        except Exception as error:
            raise CallFailed(self._router.classify(source, error)) from error

    def change(
        self,
        source: str,
        kind: IntentKind,
        entity_type: str,
        record: Record,
        changes: Fields,
        *,
        memo: Mapping[str, Any] | None = None,
    ) -> Change:
        """Return a push in the canonical terms of the connection.

        The record has the fields that its object is to hold, of which `changes` are written.
        """
        routes, fields = self._connections[source].routes.get(entity_type), record.fields
        if routes is None:
            shape = carried(self._router.owner(source), entity_type)
            patch, document = merge_patch(shape, changes), unflatten(shape, fields)
        else:
            creates = kind is IntentKind.CREATE
            document = routes.document(fields, creates=creates)
            patch = routes.patch(fields, changes, creates=creates)
        return Change(
            kind=kind,
            entity_type=entity_type,
            record_id=record.id,
            # Copies, so that an integration which changes them does not change the record.
            patch=copy.deepcopy(patch),
            document=copy.deepcopy(document),
            memo=copy.deepcopy(memo),
        )


def check_id(external_id: Any, *, exact: bool = True) -> None:
    """Raise `SchemaViolation` for an id that cannot be stored exactly: calls need the exact id.

    Unless it is `exact`, characters that cannot be stored were replaced before.
    """
    if is_indexable(external_id) and (exact or REPLACEMENT not in external_id):
        return
    if not isinstance(external_id, str) or not external_id:
        problem = "must be a text that is not empty"
    elif len(external_id) > MOST_ID_CHARACTERS:
        problem = f"must have at most {MOST_ID_CHARACTERS} characters"
    else:
        problem = "has characters that cannot be stored"
    raise SchemaViolation("the object's id", [Violation("/external_id", problem)])


def memo_of(memo: Any) -> dict[str, Any]:
    """Return a memo in the form in which it is stored, so that equal memos compare as equal.

    Raises `SchemaViolation` for a memo that is not a JSON object or is too large.
    """
    if not isinstance(memo, Mapping):
        raise _violation("/memo", "must be an object")
    try:
        text = orjson.dumps(storable(dict(memo)))
    except TypeError:
        raise _violation("/memo", "must be JSON") from None
    if len(text) > _MOST_MEMO_BYTES:
        raise _violation("/memo", f"must have at most {_MOST_MEMO_BYTES} bytes as JSON")
    kept: dict[str, Any] = orjson.loads(text)
    return kept


def _check_merge(seen: ExternalObject) -> None:
    """Raise `SchemaViolation` for a merge into no other object, or of an object that lives."""
    if seen.data is not None:
        raise _violation("/merged_into", "must be None for an object with data")
    if seen.merged_into == seen.external_id or not is_indexable(seen.merged_into):
        raise _violation("/merged_into", "must be the id of another object")


def _check_marks(seen: ExternalObject) -> None:
    """Raise `SchemaViolation` for a `changed_at`, a version or a memo that cannot be stored."""
    if seen.changed_at is not None and not isinstance(seen.changed_at, Interval):
        raise _violation("/changed_at", "must be an Interval")
    if seen.version is not None and not is_indexable(seen.version):
        problem = f"must be a text of at most {MOST_ID_CHARACTERS} characters that can be stored"
        raise _violation("/version", problem)
    if seen.memo is not None:
        memo_of(seen.memo)


def _violation(pointer: str, problem: str) -> SchemaViolation:
    return SchemaViolation("the object", [Violation(pointer, problem)])


def _mapping(made: Any) -> dict[str, Any]:
    """Return a translation as a dict; raise `TypeError` for anything but a mapping."""
    if not isinstance(made, Mapping):
        raise TypeError("an integration has to return a mapping")
    return dict(made)
