"""Find the packaged schemas, migrations and template; no other file computes paths."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def schemas_dir() -> Path:
    """Return the folder of the canonical JSON Schemas."""
    return _find("schemas")


def migrations_dir() -> Path:
    """Return the folder of the Alembic environment."""
    return _find("migrations")


def template_dir() -> Path:
    """Return the folder of the template of a plugin."""
    return _find("template", "plugins/template")


def _find(name: str, place: str | None = None) -> Path:
    """Return a folder, which a wheel has inside the package and a checkout at its root."""
    packaged = _PACKAGE / "_resources" / name
    return packaged if packaged.is_dir() else _PACKAGE.parent.parent / (place or name)
