"""Load the profile of a connection."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zenskar.kernel import ConflictPolicy
from zenskar.model.fields import SHAPES
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.carried import carried
from zenskar.plugins.profile.field_routes import FieldRoutes
from zenskar.plugins.profile.profile_file import ProfileFile
from zenskar.plugins.profile.record_filter import RecordFilter, compile_filter
from zenskar.plugins.profile.record_rules import RecordRules, compile_rules
from zenskar.plugins.profile.route_compiler import Problem, RouteCompiler
from zenskar.schema_catalog import core_schemas

SCHEMA = "profile"


@dataclass(frozen=True)
class Profile:
    """A compiled profile, by entity type; conflict policies are by field or leaf.

    `digest` identifies its content; an empty profile has none.
    """

    routes: Mapping[str, FieldRoutes] = field(default_factory=dict)
    rules: Mapping[str, RecordRules] = field(default_factory=dict)
    filters: Mapping[str, RecordFilter] = field(default_factory=dict)
    policies: Mapping[str, ConflictPolicy] = field(default_factory=dict)
    digest: str | None = None


def load_profile(path: Path, integration: BaseIntegration) -> Profile:
    """Return the profile in a file. Raises `ProfileError`, which names every mistake."""
    file = ProfileFile(path, core_schemas()[SCHEMA])
    routes: dict[str, FieldRoutes] = {}
    rules: dict[str, RecordRules] = {}
    filters: dict[str, RecordFilter] = {}
    policies: dict[str, ConflictPolicy] = {}
    problems: list[Problem] = []
    for entity_type, section in file.document.items():
        if entity_type not in integration.entities:
            problems.append(((entity_type,), "is no entity type that the integration syncs"))
            continue
        shape = carried(integration, entity_type)
        compiler = RouteCompiler(section, shape)
        routes[entity_type] = compiler.compile()
        policies |= compiler.policies()
        problems += compiler.problems
        if own := compile_rules(section, SHAPES[entity_type], problems):
            rules[entity_type] = own
        if condition := compile_filter(section, SHAPES[entity_type], problems):
            filters[entity_type] = condition
    if problems:
        raise file.error(problems)
    return Profile(routes, rules, filters, policies, _digest_of(file.document))


def _digest_of(document: Mapping[str, Any]) -> str | None:
    if not document:
        return None
    text = json.dumps(document, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
