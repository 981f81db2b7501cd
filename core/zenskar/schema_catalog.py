"""Load and compile the JSON Schemas of the core and of the plugins.

jsonschema-rs decides, a hundred times faster; jsonschema explains a refusal. Both check formats.
https://json-schema.org/draft/2020-12/schema
"""

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.resources.abc import Traversable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema_rs

from zenskar import resources
from zenskar.errors import ConfigurationError, SchemaViolation, Violation
from zenskar.model.json_bounds import Bounds

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError
    from jsonschema.protocols import Validator

SUFFIX = ".schema.json"
_LIMIT = 20
_EXPLAINED = Bounds(members=2000, depth=64)
_NO_NUL = ("pattern", "^[^\\u0000]*$")
"""The rule of a schema, as keyword and value, that refuses NUL."""

_MESSAGES = {
    "type": "must be of type {rule}",
    "enum": "must be one of {rule}",
    "const": "must be {rule}",
    "format": "must be a valid {rule}",
    "pattern": "has characters that are not allowed here",
    "minLength": "must have at least {rule} characters",
    "maxLength": "must have at most {rule} characters",
    "minimum": "must be at least {rule}",
    "maximum": "must be at most {rule}",
    "minItems": "must have at least {rule} items",
    "maxItems": "must have at most {rule} items",
    "maxProperties": "must have at most {rule} properties",
    "minProperties": "must have at least {rule} properties",
}


class Schema:
    """A compiled JSON Schema. Raises `ConfigurationError` when the document is not a schema."""

    def __init__(self, name: str, document: dict[str, Any]) -> None:
        self.name = name
        self.document = document
        try:
            self._fast = _compiled(document)
        except ValueError as error:
            raise ConfigurationError(f"schema {name} is not a JSON Schema: {error}") from error

    def check(self, instance: Any, *, nul_free: bool = False) -> None:
        """Raise `SchemaViolation`, with a JSON pointer for each place, unless `instance` is valid.

        The strings of a `nul_free` instance are not searched for NUL, which halves the time.
        """
        if (self._without_nul_rule if nul_free else self._fast).is_valid(instance):
            return
        places = sorted(set(self._explain(instance)), key=lambda v: (v.pointer, v.message))
        raise SchemaViolation(self.name, places)

    def _explain(self, instance: Any) -> Sequence[Violation]:
        """Return the first violations. The search costs time for every member of the instance."""
        if problem := _EXPLAINED.problem(instance):
            return [Violation("", f"is not valid; it {problem}, so the places are not looked for")]
        errors = _leaves(self._slow.iter_errors(instance))
        found = list(islice((v for error in errors for v in _violations(error)), _LIMIT))
        return found or [
            Violation(_pointer(error.instance_path), "is not valid")
            for error in islice(self._fast.iter_errors(instance), _LIMIT)
        ]

    def accepts(self, instance: Any) -> bool:
        """Return whether an instance is valid, without an explanation."""
        return self._fast.is_valid(instance)

    @cached_property
    def _without_nul_rule(self) -> jsonschema_rs.Draft202012Validator:
        return _compiled(_without(_NO_NUL, self.document))

    @cached_property
    def _slow(self) -> "Validator":
        # Most processes never explain a refusal, so they need not load jsonschema.
        from jsonschema import Draft202012Validator

        checker = Draft202012Validator.FORMAT_CHECKER
        return Draft202012Validator(self.document, format_checker=checker)

    def part(self, definition: str) -> "Schema":
        """Return the schema of a definition in `$defs`, which may refer to other definitions."""
        document = {**self.document, "$ref": f"#/$defs/{definition}"}
        for keyword in ("type", "required", "properties", "additionalProperties"):
            document.pop(keyword, None)
        return Schema(definition, document)


def _compiled(document: dict[str, Any]) -> jsonschema_rs.Draft202012Validator:
    return jsonschema_rs.Draft202012Validator(document, validate_formats=True)


def _without(rule: tuple[str, Any], part: Any) -> Any:
    """Return a copy of a part of a schema without a rule."""
    if isinstance(part, dict):
        return {key: _without(rule, value) for key, value in part.items() if (key, value) != rule}
    return [_without(rule, value) for value in part] if isinstance(part, list) else part


def core_schemas() -> dict[str, Schema]:
    """Load the schemas of the core by name (`customer`, `event`)."""
    return load_folder(resources.schemas_dir())


def load_folder(folder: Path | Traversable) -> dict[str, Schema]:
    """Load every `NAME.schema.json` of a folder by its name.

    Raises `ConfigurationError` when a file is not a JSON Schema.
    """
    if not folder.is_dir():
        return {}
    files = sorted(folder.iterdir(), key=lambda entry: entry.name)
    return {
        file.name.removesuffix(SUFFIX): Schema(file.name, _read(file))
        for file in files
        if file.name.endswith(SUFFIX)
    }


def _read(file: Path | Traversable) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"schema {file.name} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(f"schema {file.name} is not a JSON object")
    return document


def _leaves(errors: Any) -> Any:
    """Descend into `oneOf` and `anyOf`, to the nearest branch."""
    for error in errors:
        if error.context:
            yield from _leaves([_nearest(error.context)])
        else:
            yield error


def _nearest(errors: Sequence["ValidationError"]) -> "ValidationError":
    """Return the deepest violation, of a branch whose constants are right if there is one."""
    wrong = {error.schema_path[0] for error in errors if error.validator == "const"}
    meant = [error for error in errors if error.schema_path[0] not in wrong]
    return max(meant or errors, key=lambda error: len(error.absolute_path))


def _violations(error: "ValidationError") -> list[Violation]:
    """Return the violations of an error without the value, which may be personal data."""
    path = list(error.absolute_path)
    rule: Any = error.validator_value
    instance: Any = error.instance
    schema: Any = error.schema
    match error.validator:
        case "required":
            missing = [name for name in rule if name not in instance]
            return [Violation(_pointer([*path, name]), "is required") for name in missing]
        case "additionalProperties" | "unevaluatedProperties":
            known = schema.get("properties", {})
            extra = [name for name in instance if name not in known]
            return [Violation(_pointer([*path, name]), "is not a known field") for name in extra]
        case validator if "propertyNames" in error.absolute_schema_path:
            return [
                Violation(_pointer(path), f"has a key that breaks the rule {validator}: {rule}")
            ]
        case validator:
            shown = " or ".join(map(str, rule)) if isinstance(rule, list) else str(rule)
            template = _MESSAGES.get(str(validator), f"violates {validator}")
            return [Violation(_pointer(path), template.format(rule=shown))]


def _pointer(path: Any) -> str:
    return "".join(f"/{str(part).replace('~', '~0').replace('/', '~1')}" for part in path)
