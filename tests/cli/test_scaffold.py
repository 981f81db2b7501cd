"""The distribution of a new plugin."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.conftest import Cli
from zenskar.cli.scaffold import CONTENTS, PluginNames, make
from zenskar.errors import ConfigurationError, InvalidInput
from zenskar.resources import template_dir

ROOT = Path(__file__).parents[2]


def texts(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_text() for path in files}


def test_every_name_is_the_plugins_own(home: Path) -> None:
    files = make(PluginNames("acme_crm"), home / "new")
    made = texts(home / "new")
    assert set(files) == made.keys()
    assert not [name for name, text in made.items() if re.search("template", name + text, re.I)]
    project = tomllib.loads(made["pyproject.toml"])["project"]
    assert project["name"] == "zenskar-acme-crm"
    assert project["entry-points"]["zenskar.plugins"] == {
        "acme_crm": "zenskar_acme_crm:AcmeCrmIntegration"
    }
    assert "license" not in project
    assert not [name for name, text in made.items() if "noqa" in text]
    assert "class AcmeCrmIntegration(BaseIntegration):" in made["zenskar_acme_crm/__init__.py"]
    assert "ACME_CRM_API_KEY" in made["README.md"]
    assert "zenskar_acme_crm" in made[".github/workflows/test.yml"]


def test_it_needs_nothing_private(home: Path) -> None:
    make(PluginNames("acme"), home / "new")
    imported = re.compile(r"^(?:from|import) (zenskar[\w.]*)", re.MULTILINE)
    modules = {name for text in texts(home / "new").values() for name in imported.findall(text)}
    toolkit = {"fields", "http", "http.lookalike", "testing", "webhooks"}
    public = {"zenskar", "zenskar_acme", *(f"zenskar.{name}" for name in toolkit)}
    assert modules == public


def test_its_tests_pass(home: Path) -> None:
    """`tests/packaging` runs the whole runtime too."""
    make(PluginNames("acme"), home / "new")
    slow = ("test_changes_of_both_sides", "test_faults_leave", "test_a_killed_worker")
    some = ("-k", f"not ({' or '.join(slow)})")
    command = (sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *some)
    done = subprocess.run(
        command, cwd=home / "new", capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name",
    [
        "",
        "Acme",
        "1acme",
        "acme-crm",
        "acme crm",
        "acme.crm",
        "../acme",
        "_acme",
        "acme_",
        "acme__crm",
        "aćme",
        "acme\n",
        "a" * 64,
        "class",
        "zenskar",
        "stripe",
        "template",
    ],
)
def test_a_name_that_cannot_be_used(name: str) -> None:
    with pytest.raises(InvalidInput, match="cannot be named"):
        PluginNames(name)


def test_a_name_with_a_number() -> None:
    names = PluginNames("crm_365")
    assert (names.distribution, names.integration) == ("zenskar-crm-365", "Crm365Integration")


def test_a_folder_with_files_stays_as_it_is(home: Path) -> None:
    (home / "kept").write_text("mine")
    with pytest.raises(InvalidInput, match="not an empty folder"):
        make(PluginNames("acme"), home)
    with pytest.raises(InvalidInput, match="not an empty folder"):
        make(PluginNames("acme"), home / "kept")
    assert texts(home) == {"kept": "mine"}


def test_an_empty_folder_is_used(home: Path) -> None:
    assert make(PluginNames("acme"), home)
    assert (home / "pyproject.toml").exists()


def test_a_place_that_cannot_be_written(home: Path) -> None:
    (home / "file").write_text("")
    with pytest.raises(ConfigurationError, match="cannot write"):
        make(PluginNames("acme"), home / "file" / "new")


def test_the_command_says_what_to_do_next(cli: Cli, home: Path) -> None:
    text = cli("plugins", "new", "acme")
    assert "cd zenskar-acme\n" in text
    assert "zenskar plugins list" in text
    made = cli.json("plugins", "new", "beta", "--into", "my folder")
    assert made["next"][0] == "cd 'my folder'"
    assert set(made["files"]) == texts(home / "my folder").keys()
    assert "cannot be named" in cli("plugins", "new", "a-b", code=1)
    assert "not an empty folder" in cli("plugins", "new", "acme", code=1)


def test_the_whole_template_is_used_and_packaged() -> None:
    listed = subprocess.run(
        ("git", "ls-files", "."), cwd=template_dir(), capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        assert {name.partition("/")[0] for name in listed.stdout.split()} == set(CONTENTS)
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    packaged = wheel["targets"]["wheel"]["force-include"]
    for part in CONTENTS:
        assert packaged[f"plugins/template/{part}"] == f"zenskar/_resources/template/{part}"
