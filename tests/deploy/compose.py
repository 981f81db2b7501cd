"""The compose files as data, with their variables filled in."""

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
WITH_ZOOKEEPER = "docker-compose.yml"
WITHOUT = "compose.kraft.yml"
_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def load(name: str, **variables: str) -> dict[str, Any]:
    """Return a compose file, with services that extend others written out."""
    text = (ROOT / name).read_text()
    filled = _VARIABLE.sub(lambda found: variables.get(found[1]) or found[2], text)
    loaded: dict[str, Any] = yaml.safe_load(filled)
    for service, body in loaded["services"].items():
        if origin := body.pop("extends", None):
            base = load(origin["file"], **variables)["services"][origin["service"]]
            loaded["services"][service] = base | body
    return loaded


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the Compose Specification."""
    path = files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def ours(name: str) -> dict[str, dict[str, Any]]:
    """Return the services that run zenskar."""
    services = load(name)["services"]
    return {n: s for n, s in services.items() if s["image"].startswith("zenskar-")}
