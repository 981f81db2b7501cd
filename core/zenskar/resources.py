"""Find the packaged schemas and migrations; no other file computes paths."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def schemas_dir() -> Path:
    """Return the folder of the canonical JSON Schemas."""
    return _find("schemas")


def migrations_dir() -> Path:
    """Return the folder of the Alembic environment."""
    return _find("migrations")


def _find(name: str) -> Path:
    """Return a folder, which a wheel has inside the package and a checkout at its root."""
    packaged = _PACKAGE / "_resources" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent.parent / name
