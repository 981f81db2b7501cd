"""Write and read the file of a plan, which holds ids, versions and digests, but no values."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import orjson

from zenskar.errors import InvalidInput
from zenskar.ids import is_id
from zenskar.model.observation import Observation
from zenskar.sync.reconcile.field_fate import FieldFate

_LAYOUT = 1
_MODE = 0o600


def check_new(path: Path) -> None:
    """Raise `InvalidInput` unless a plan can be written to this new file."""
    if path.exists():
        raise InvalidInput(f"{path} exists: choose another file, or remove this one")
    if not path.absolute().parent.is_dir():
        raise InvalidInput(f"{path.absolute().parent} is no folder")


def write_plan(path: Path, kind: str, plans: list[dict[str, Any]]) -> None:
    """Write the plans of a kind to a new file that only its owner may read.

    Raises `InvalidInput` when the file exists or cannot be written.
    """
    body = {"layout": _LAYOUT, "kind": kind, "plans": plans}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(body, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    except FileExistsError:
        raise InvalidInput(f"{path} exists: choose another file, or remove this one") from None
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None


def read_plan(path: Path, kind: str) -> list[dict[str, Any]]:
    """Return the plans in a file. Raises `InvalidInput` when the file holds none of the kind."""
    try:
        body = orjson.loads(path.read_bytes())
    except OSError as error:
        raise InvalidInput(f"{path}: {error.strerror}") from None
    except orjson.JSONDecodeError:
        raise InvalidInput(f"{path} holds no plan") from None
    if not isinstance(body, dict) or body.get("kind") != kind:
        raise InvalidInput(f"{path} holds no plan of {kind}")
    if body.get("layout") != _LAYOUT:
        raise InvalidInput(f"{path} was written by another release: make the plan again")
    plans = body.get("plans")
    if not isinstance(plans, list) or not plans:
        raise InvalidInput(f"{path} holds no plan of {kind}")
    return plans


@contextmanager
def complete_plan() -> Iterator[None]:
    """Raise `InvalidInput` when a plan that is read lacks a value, or has a wrong one."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError):
        raise InvalidInput("the plan is not complete: make it again") from None


def step_values(body: Mapping[str, Any], kinds: type[StrEnum]) -> dict[str, Any]:
    """Return the values of a step. Raises `ValueError` for an unknown kind or fate."""
    fields = {path: FieldFate(fate) for path, fate in body["fields"].items()}
    return {**body, "kind": kinds(body["kind"]), "fields": fields}


def require_ids(*ids: Any) -> None:
    """Raise `ValueError` unless each value is an id, or None."""
    if not all(each is None or (isinstance(each, str) and is_id(each)) for each in ids):
        raise ValueError("a step of a plan names no id")


def digest_of(plan_id: str, seen: Observation) -> str:
    """Return the digest of an object's visible fields; the plan's id is its salt."""
    shown = [plan_id, dict(seen.fields or {}), sorted(seen.unseen)]
    return hashlib.sha256(orjson.dumps(shown, option=orjson.OPT_SORT_KEYS)).hexdigest()
