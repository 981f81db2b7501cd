"""Make the distribution of a new plugin from the template."""

import keyword
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from importlib_metadata import entry_points

from zenskar.errors import ConfigurationError, InvalidInput
from zenskar.plugins.declaration_problems import NAME
from zenskar.plugins.discovery import GROUP
from zenskar.resources import template_dir

CONTENTS = ("pyproject.toml", "README.md", ".github", "zenskar_template", "tests")
"""The parts of the template; other files of a checkout are caches and builds."""
_WORDS = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_OURS = re.compile(r"^license = .*\n|  # noqa: .*$", re.MULTILINE)
"""The author chooses the license and the linter."""


@dataclass(frozen=True, slots=True)
class PluginNames:
    """The names of a new plugin. Raises `InvalidInput` for a name that cannot be used."""

    name: str

    def __post_init__(self) -> None:
        if problem := _problem(self.name):
            raise InvalidInput(f"a plugin cannot be named {self.name!a}: {problem}")

    @property
    def distribution(self) -> str:
        """Return the name of the distribution, and of its folder: no module can have the name."""
        return f"zenskar-{self.name.replace('_', '-')}"

    @property
    def package(self) -> str:
        """Return the name of the import package, which cannot hide the SDK of the system."""
        return f"zenskar_{self.name}"

    @property
    def integration(self) -> str:
        """Return the name of the class."""
        return "".join(map(str.capitalize, self.name.split("_"))) + "Integration"

    def rename(self, text: str) -> str:
        """Return a text of the template with these names."""
        for old, new in self._replacements().items():
            text = text.replace(old, new)
        return text

    def _replacements(self) -> Mapping[str, str]:
        return {
            "zenskar-template": self.distribution,
            "zenskar_template": self.package,
            "TemplateIntegration": self.integration,
            "TEMPLATE_": f"{self.name.upper()}_",
            "schemas/template/": f"schemas/{self.name}/",
            "webhooks/template": f"webhooks/{self.name}",
            "\ntemplate = ": f"\n{self.name} = ",
        }


def make(names: PluginNames, folder: Path) -> tuple[str, ...]:
    """Write the distribution of a plugin into an empty folder, and return its files.

    Raises `InvalidInput` for a folder that is not empty, and `ConfigurationError` for a folder that
    cannot be written.
    """
    files = dict(_files(names))
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InvalidInput(f"{folder} is there already, and is not an empty folder")
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"cannot write {folder}: {error.strerror}") from error
    return tuple(files)


def _problem(name: str) -> str | None:
    if not NAME.fullmatch(name) or not _WORDS.fullmatch(name):
        return "use lower-case letters and digits, in words with one _ between them"
    if keyword.iskeyword(name) or name == "zenskar":
        return "this name has a meaning already"
    package = f"zenskar_{name}"
    if find_spec(package) is not None:
        return f"the module {package} is installed already"
    if any(entry.name == name for entry in entry_points(group=GROUP)):
        return "a plugin of this name is installed already"
    return None


def _files(names: PluginNames) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each file of the new distribution."""
    template = template_dir()
    for part in CONTENTS:
        found = template / part
        paths = sorted(found.rglob("*")) if found.is_dir() else [found]
        for path in paths:
            if path.is_file() and "__pycache__" not in path.parts:
                text = names.rename(path.read_text(encoding="utf-8"))
                yield names.rename(str(path.relative_to(template))), _OURS.sub("", text)
