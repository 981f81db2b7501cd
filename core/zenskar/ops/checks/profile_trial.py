"""Show a record or an object both ways, without a call and without a write."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from zenskar.model.fields import SHAPES, flatten, unflatten
from zenskar.model.integration import ExternalObject
from zenskar.model.record import IntentKind, Record
from zenskar.plugins.configuration import ConfiguredConnection
from zenskar.plugins.router import PluginRouter
from zenskar.schema_catalog import Schema
from zenskar.sync.translator import Translator

_NO_ID = "00000000-0000-0000-0000-000000000000"


class TrialResult(TypedDict):
    """A document there, and the record that it becomes here.

    `body` is that of a create, for a trial of a record. `not_seen` are the fields that the document
    does not show. `travels` says whether the record passes the filter of the connection.
    """

    document: Mapping[str, Any]
    body: NotRequired[Mapping[str, Any]]
    record: Mapping[str, Any]
    not_seen: list[str]
    travels: bool


@dataclass(frozen=True)
class ProfileTrial:
    """Translates documents by the profile and the integration of one connection."""

    connection: ConfiguredConnection
    schemas: Mapping[str, Schema]

    def of_record(self, entity_type: str, document: Mapping[str, Any]) -> TrialResult:
        """Return the document there, the body of a create, and the record that comes back.

        Raises `SchemaViolation` for a document that is not canonical, and `CallFailed` when the
        integration fails.
        """
        self.schemas[entity_type].check(document)
        shape = SHAPES[entity_type]
        own = self.connection.coverage(entity_type)
        fields = flatten(shape, document)
        pushed = fields if own is None else dict(own.pushed(fields, {}))
        record, translator = Record(_NO_ID, pushed), self._translator
        create = translator.change(self._name, IntentKind.CREATE, entity_type, record, pushed)
        body = translator.body(self._name, IntentKind.CREATE, entity_type, record, pushed)
        record_here, not_seen = self._here(entity_type, create.document)
        return {
            "document": dict(create.document),
            "body": body,
            "record": record_here,
            "not_seen": not_seen,
            "travels": self.connection.travels(entity_type, fields),
        }

    def of_object(self, entity_type: str, data: Mapping[str, Any]) -> TrialResult:
        """Return the document that the integration makes of an object, and the new record.

        Raises `SchemaViolation` for an object that is not valid, and `CallFailed` when the
        integration fails.
        """
        seen = ExternalObject(entity_type, "trial", dict(data))
        document = self._translator.document(self._name, seen) or {}
        record, not_seen = self._here(entity_type, document)
        travels = self.connection.travels(entity_type, flatten(SHAPES[entity_type], record))
        return {"document": document, "record": record, "not_seen": not_seen, "travels": travels}

    def _here(
        self, entity_type: str, document: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any], list[str]]:
        """Return the record that an object with this document becomes, and the unseen fields."""
        shown = self._translator.view(self._name, entity_type).show(document)
        fields, routes = shown.fields or {}, self.connection.routes.get(entity_type)
        if routes is not None:
            fields = routes.with_constants(fields)
        return unflatten(SHAPES[entity_type], fields), sorted(shown.unseen)

    @property
    def _name(self) -> str:
        return self.connection.connection.name

    @property
    def _translator(self) -> Translator:
        router = PluginRouter({self._name: self.connection.integration})
        return Translator(router, {self._name: self.connection}, self.schemas)
