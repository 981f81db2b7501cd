"""Load the profile of a connection."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from zenskar.kernel import ConflictPolicy
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.carried import carried
from zenskar.plugins.profile.field_routes import FieldRoutes
from zenskar.plugins.profile.profile_file import ProfileFile
from zenskar.plugins.profile.route_compiler import Problem, RouteCompiler
from zenskar.schema_catalog import core_schemas

SCHEMA = "profile"


@dataclass(frozen=True)
class Profile:
    """A compiled profile: the routes by entity type, and conflict policies by field or leaf."""

    routes: Mapping[str, FieldRoutes] = field(default_factory=dict)
    policies: Mapping[str, ConflictPolicy] = field(default_factory=dict)


def load_profile(path: Path, integration: BaseIntegration) -> Profile:
    """Return the profile in a file. Raises `ProfileError`, which names every mistake."""
    file = ProfileFile(path, core_schemas()[SCHEMA])
    routes: dict[str, FieldRoutes] = {}
    policies: dict[str, ConflictPolicy] = {}
    problems: list[Problem] = []
    for entity_type, section in file.document.items():
        if entity_type not in integration.entities:
            problems.append(((entity_type,), "is no entity type that the integration syncs"))
            continue
        compiler = RouteCompiler(section, carried(integration, entity_type))
        routes[entity_type] = compiler.compile()
        policies |= compiler.policies()
        problems += compiler.problems
    if problems:
        raise file.error(problems)
    return Profile(routes, policies)
