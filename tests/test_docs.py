"""The documentation names everything that exists, and nothing that does not."""

import ast
import doctest
import importlib
import json
import pkgutil
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock
from urllib.parse import urlsplit

import pytest
import typer
from prometheus_client import Counter, Gauge, Histogram

import zenskar
from tests.support import hook_table
from tests.support.log_calls import log_calls
from tests.test_architecture import TOOLKIT
from zenskar import errors
from zenskar.api.app import resources
from zenskar.api.http import problems, statuses
from zenskar.api.http.routes import Route
from zenskar.api.resources.state_metrics import GAUGES
from zenskar.cli.app import app
from zenskar.db.schema.all_tables import metadata
from zenskar.errors import FailureKind, ZenskarError
from zenskar.http.lookalike.control import Control
from zenskar.kernel import StepKind, Verdict
from zenskar.model.fields import CUSTOMER
from zenskar.model.notices import ConnectionPaused
from zenskar.model.sync_event import SyncStatus
from zenskar.plugins import broadcasts
from zenskar.plugins.base import HOOKS, BaseIntegration
from zenskar.plugins.broadcast_specs import BroadcastSpec
from zenskar.plugins.broadcasts import Broadcaster
from zenskar.plugins.declaration_problems import find_problem
from zenskar.plugins.declarations import Declarations
from zenskar.schema_catalog import core_schemas
from zenskar.settings import PREFIX, Settings, load
from zenskar.sync.reconcile.drift import DriftKind
from zenskar.sync.reconcile.field_fate import FieldFate
from zenskar.sync.reconcile.repair_action import RepairAction
from zenskar.telemetry.metrics import Metrics
from zenskar_cardfile import CardfileIntegration
from zenskar_doorbell import DoorbellIntegration
from zenskar_stripe.config import SETTINGS
from zenskar_stripe.sandbox import FaultKind, StripeSandbox
from zenskar_template import TemplateIntegration

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
CORE = ROOT / "core" / "zenskar"
READMES = (*ROOT.glob("plugins/*/README.md"), *ROOT.glob("examples/**/README.md"))
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("*.md"), *READMES])

TOY_PORT = 9000
"""The port of the system of the tutorial, whose routes are its own."""

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


@dataclass(frozen=True)
class Fence:
    """A block of code: its language, its text and the line it starts on."""

    language: str
    text: str
    line: int


def fences(page: Path) -> list[Fence]:
    found, language, start, lines = [], None, 0, []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        if language is None and line.lstrip().startswith("```"):
            language, start, lines = line.strip().removeprefix("```"), number, []
        elif language is not None and line.strip() == "```":
            found.append(Fence(language, "\n".join(lines), start))
            language = None
        elif language is not None:
            lines.append(line)
    assert language is None, f"{page}: the fence of line {start} is not closed"
    return found


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return re.sub(r"^( *)```.*?^\1```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def section(name: str, heading: str) -> str:
    """The text under a heading, up to the next one of its level or above."""
    text = prose(DOCS / name)
    level = heading.partition(" ")[0]
    pattern = rf"^{re.escape(heading)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)"
    found = re.search(pattern, text, re.MULTILINE | re.DOTALL)
    assert found, f"docs/{name} has no heading {heading!r}"
    return found.group(1)


def rows(name: str, heading: str) -> dict[str, list[str]]:
    """The rows of the first table under a heading: the code in the first cell, and all cells."""
    found: dict[str, list[str]] = {}
    for line in section(name, heading).splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]
        entry = re.match(r"`([^`]+)`", cells[0]) if cells else None
        if entry:
            assert all(cells), f"docs/{name}, {heading}: {entry.group(1)} has an empty cell"
            assert entry.group(1) not in found, f"docs/{name}, {heading}: {entry.group(1)} twice"
            found[entry.group(1)] = cells
        elif found and not cells:
            break
    assert found, f"docs/{name}: there is no table under {heading!r}"
    return found


def code(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


def public(names: Any) -> set[str]:
    return {name for name in names if not name.startswith("_")}


def core_modules() -> None:
    """Import all modules of the core, so that every subclass is known."""
    for module in pkgutil.walk_packages([str(CORE)], "zenskar."):
        importlib.import_module(module.name)


def subclasses(kind: type[Any]) -> Iterator[type[Any]]:
    for child in kind.__subclasses__():
        yield child
        yield from subclasses(child)


def routes() -> list[Route]:
    """Every route of the API, without its database."""
    services = MagicMock(schemas=core_schemas(), metrics=Metrics())
    return [route for resource in resources(services) for route in resource.routes()]


def commands(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    """The commands without subcommands, by their full name."""
    children = getattr(command, "commands", None)
    if children is None:
        yield path, command
    else:
        for name, child in children.items():
            yield from commands(child, f"{path} {name}")


COMMANDS = dict(commands(typer.main.get_command(app), "zenskar"))


def shown(default: Any) -> str:
    """A default as the tables write it."""
    if default is None:
        return "none"
    if isinstance(default, bool):
        return str(default).lower()
    return f"{default:g}" if isinstance(default, float) else str(default)


# --- the pages have all that the code has ---------------------------------------------------


def test_the_table_of_the_hooks_is_made_from_their_texts() -> None:
    text = (DOCS / "plugins.md").read_text()
    assert hook_table.inserted(text) == text, "run python -m tests.support.hook_table"
    assert list(rows("plugins.md", "## Hooks")) == list(HOOKS)


def test_broadcast_hooks() -> None:
    table = rows("plugins.md", "## Broadcast hooks")
    assert table.keys() == public(vars(BroadcastSpec))


def test_the_example_of_a_broadcast_plugin_works() -> None:
    (code,) = [f.text for f in fences(DOCS / "plugins.md") if "class AcmeRules" in f.text]
    module: dict[str, Any] = {}
    exec(code, module)
    plugin = module["AcmeRules"]()
    assert broadcasts.find_problem("acme_rules", plugin) is None
    rules = Broadcaster({"acme_rules": plugin})
    assert rules.wants(ConnectionPaused)
    wrong, right = {"phone": "030 1"}, {"phone": "+49 30 1"}
    found = rules.violations("customer", wrong, right, "api")
    assert [(each.plugin, each.pointer) for each in found] == [("acme_rules", "/phone")]
    assert rules.violations("customer", right, None, "api") == []
    assert rules.violations("customer", wrong, wrong, "api") == []


def test_what_a_plugin_class_declares() -> None:
    methods = public(vars(BaseIntegration)) - {*HOOKS}
    declared = methods | public(vars(Declarations)) | {"connection"}
    assert rows("plugins.md", "## Class attributes").keys() == declared


def test_new_plugins_name_the_version_of_the_plugin_api() -> None:
    version = zenskar.PLUGIN_API_VERSION
    assert f"`PLUGIN_API_VERSION` is {version}." in (DOCS / "plugins.md").read_text()
    for kind in (TemplateIntegration, DoorbellIntegration, CardfileIntegration):
        assert vars(kind)["plugin_api"] == version


def test_what_a_plugin_imports() -> None:
    mentioned = set(re.findall(r"\w+", (DOCS / "plugins.md").read_text()))
    assert set(zenskar.__all__) <= mentioned


def test_the_class_on_one_page_is_an_integration() -> None:
    code, *_ = [f.text for f in fences(DOCS / "plugins.md") if "async def list_page" in f.text]
    module: dict[str, Any] = {}
    exec(code, module)
    assert find_problem("acme", module["AcmeIntegration"]) is None
    module["FIELDS"].check_round_trip()


@pytest.mark.parametrize("name", [*TOOLKIT, "zenskar.testing"])
def test_what_a_plugin_may_use(name: str) -> None:
    exported = importlib.import_module(name).__all__
    assert rows("plugins.md", f"### `{name}`").keys() == set(exported)


def test_settings_and_their_defaults() -> None:
    table = rows("configuration.md", "## Settings")
    expected = {f"{PREFIX}{n.upper()}": f.default for n, f in Settings.model_fields.items()}
    assert table.keys() == expected.keys()
    for name, default in expected.items():
        assert table[name][1].strip("`") == shown(default), name


def test_stripe_settings_and_their_defaults() -> None:
    table = rows("stripe.md", "## Settings")
    expected = {f"STRIPE_{s.name.upper()}": s for s in SETTINGS}
    assert table.keys() == expected.keys()
    for name, setting in expected.items():
        wanted = "required" if setting.required else shown(setting.default)
        assert table[name][1].strip("`") == wanted, name


def test_stripe_sandbox_faults() -> None:
    assert rows("stripe.md", "### Faults").keys() == {kind.value for kind in FaultKind}


def test_metrics_and_their_labels() -> None:
    table = rows("metrics.md", "## Metrics")
    expected = {}
    for metric in vars(Metrics()).values():
        if isinstance(metric, Counter | Gauge | Histogram):
            ending = "_total" if isinstance(metric, Counter) else ""
            expected[f"{metric._name}{ending}"] = (metric._type, list(metric._labelnames))
    expected |= {gauge.name: ("gauge", list(gauge.labels)) for gauge in GAUGES}
    assert {name: (row[1], code(row[2])) for name, row in table.items()} == expected


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_and_its_options(name: str) -> None:
    text = section("cli.md", f"### `{name}`")
    for parameter in COMMANDS[name].params:
        if parameter.param_type_name == "argument":
            assert (parameter.metavar or parameter.name.upper()) in text
        elif not {"--help", "--output", "--reason"} & {*parameter.opts}:
            assert f"`{parameter.opts[0]}`" in text


def test_no_command_is_made_up() -> None:
    named = re.findall(r"^### `(zenskar[^`]*)`$", (DOCS / "cli.md").read_text(), re.MULTILINE)
    assert sorted(named) == sorted(COMMANDS)


def test_differences() -> None:
    documented = re.findall(r"^\| `(\w+)` \|", section("cli.md", "### `zenskar reconcile`"), re.M)
    left = {"left", "under_way", "outside"}
    kinds = (*DriftKind, *RepairAction, *FieldFate)
    assert set(documented) == {kind.value for kind in kinds} | left


def test_error_classes() -> None:
    core_modules()
    own = [e for e in subclasses(ZenskarError) if e.__module__.startswith("zenskar.")]
    expected = {error.__name__ for error in own} | {"ZenskarError"}
    assert rows("errors.md", "## Classes").keys() == expected
    assert {n for n, e in vars(errors).items() if _is_error(e)} <= expected


def _is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Exception)


def test_kinds_of_failure() -> None:
    assert rows("errors.md", "## Kinds of failure").keys() == {kind.value for kind in FailureKind}


def test_problems() -> None:
    table = rows("errors.md", "## Problems")
    own = {name: str(status) for _, status, name in problems._KINDS}
    used = {status for route in routes() for status in route.problems}
    used |= problems._DETAILS.keys()
    own["internal"] = "500"
    covered = {int(status) for status in own.values()}
    http = {statuses.kind(s): str(s) for s in used - covered}
    for name, status in (http | own).items():
        assert table[name][1] == status, name


def test_routes() -> None:
    table = rows("http.md", "## Routes")
    assert table.keys() == {f"{route.method} {route.path}" for route in routes()}
    for route in routes():
        statuses = {str(s) for s in (*route.answers, *route.problems)}
        cells = table[f"{route.method} {route.path}"]
        assert set(re.findall(r"\b[245]\d\d\b", cells[2])) == statuses, route
        assert code(cells[3]) == ([] if route.public else [route.scope.value]), route


def test_the_fields_of_a_customer() -> None:
    assert rows("http.md", "## Customers").keys() == CUSTOMER.names


def test_log_events() -> None:
    named = {call.event for call in log_calls(CORE)}
    assert rows("logs.md", "## Events").keys() == named


@pytest.mark.parametrize("table", metadata.tables)
def test_a_table_and_its_columns(table: str) -> None:
    documented = rows("data.md", f"### `{table}`")
    assert list(documented) == [column.name for column in metadata.tables[table].columns]


def test_no_table_is_made_up() -> None:
    named = re.findall(r"^### `(\w+)`$", section("data.md", "## Tables"), re.MULTILINE)
    assert set(named) == metadata.tables.keys()


def test_the_envelope() -> None:
    schema = core_schemas()["event"].document
    assert rows("data.md", "## Envelope").keys() == schema["properties"].keys()
    for name in ("outbound", "look", "inbound"):
        expected = schema["$defs"][name]["properties"].keys()
        assert rows("data.md", f"### {name.capitalize()} data").keys() == expected


def test_statuses() -> None:
    assert rows("data.md", "## Statuses").keys() == {status.value for status in SyncStatus}


def test_verdicts_and_steps() -> None:
    assert rows("kernel.md", "## Verdicts").keys() == {verdict.value for verdict in Verdict}
    assert rows("kernel.md", "## Steps").keys() == {step.value for step in StepKind}


# --- the map of the code --------------------------------------------------------------------


def drawn_tree() -> set[str]:
    """The paths of the tree in architecture.md, relative to the core; a room ends in a slash."""
    (tree, *_) = [f for f in fences(DOCS / "architecture.md") if f.text.startswith("core/zenskar/")]
    parents: list[str] = []
    found = set()
    for line in tree.text.splitlines()[1:]:
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2 - 1
        parents[depth:] = [name]
        found.add("".join(parents))
    return found


def test_the_tree_of_the_architecture_is_the_tree_of_the_code() -> None:
    rooms = {f"{p.parent.relative_to(CORE)}/" for p in CORE.glob("*/**/__init__.py")}
    assert drawn_tree() == rooms | {path.name for path in CORE.glob("*.py")}


def test_the_order_of_imports_is_the_one_that_is_checked() -> None:
    linter = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    shown_layers = [fence.text.splitlines() for fence in fences(DOCS / "architecture.md")]
    for container in ("zenskar", "zenskar.sync"):
        (contract,) = [c for c in linter["contracts"] if c.get("containers") == [container]]
        # A layer in brackets is optional: it does not exist yet.
        assert [name for name in contract["layers"] if name[0] != "("] in shown_layers


@by_page
def test_modules_exist(page: Path) -> None:
    """A path of a module is relative to the core, to the repository or to a plugin."""
    roots = [CORE, ROOT, *ROOT.glob("plugins/*"), *ROOT.glob("examples/*")]
    text = re.sub(r"```console.*?```", "", page.read_text(), flags=re.DOTALL)
    written = set(re.findall(r"`([\w./]+)`:\n\n```", text))
    for name in re.findall(r"(?<![\w/.-])[\w-]+(?:/[\w-]+)+\.py\b", text):
        assert name in written or any((root / name).exists() for root in roots), name


@by_page
def test_tests_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`(test_\w+)`", page.read_text()))
    sources = [path.read_text() for path in (ROOT / "tests").rglob("test_*.py")] if named else []
    assert {name for name in named if not any(f"def {name}(" in text for text in sources)} == set()


def test_the_glossary_names_what_exists() -> None:
    names = defined_names()
    for heading in re.findall(r"^## .+", (DOCS / "glossary.md").read_text(), re.MULTILINE):
        for word, cells in words(heading).items():
            for name in code(cells[2]):
                exists = (CORE / name).exists() if "/" in name else name in names
                assert exists, f"{word}: {name}"


def words(heading: str) -> dict[str, list[str]]:
    """The rows of the table under a heading of the glossary, by their word."""
    lines = [line.strip("| ").split(" | ") for line in section("glossary.md", heading).splitlines()]
    found = {cells[0]: cells for cells in lines if len(cells) == 3}
    return {word: cells for word, cells in found.items() if word not in {"word", "---"}}


def test_a_word_of_the_glossary_is_there_once() -> None:
    headings = re.findall(r"^## .+", (DOCS / "glossary.md").read_text(), re.MULTILINE)
    named = [word for heading in headings for word in words(heading)]
    assert len(named) == len(set(named))


def defined_names() -> set[str]:
    """Every class, method and function of the core, and every table."""
    found = set(metadata.tables)
    for path in CORE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(node.name)
            if isinstance(node, ast.ClassDef):
                methods = ast.FunctionDef | ast.AsyncFunctionDef
                found |= {f"{node.name}.{m.name}" for m in node.body if isinstance(m, methods)}
    return found


# --- the statements of the pages are true ---------------------------------------------------


def test_the_examples_of_the_kernel_hold() -> None:
    page = DOCS / "kernel.md"
    text = re.sub(r"^```.*$", "", page.read_text(), flags=re.MULTILINE)
    examples = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    result = doctest.DocTestRunner(verbose=False).run(examples)
    assert result.attempted > 40
    assert result.failed == 0


def test_the_rules_of_the_kernel_are_all_there() -> None:
    numbers = re.findall(r"^## Rule (\d+)\b", (DOCS / "kernel.md").read_text(), re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 11)]


def test_the_readme_is_short_and_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) < 150
    assert "make dev" in text
    assert "make test" in text


@by_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if urlsplit(target).scheme:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in anchors(file), target


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}


@by_page
def test_code_can_be_read(page: Path) -> None:
    for fence in fences(page):
        if fence.language == "json":
            json.loads(fence.text)
        elif fence.language == "python" and ">>>" not in fence.text:
            ast.parse(fence.text)
        assert fence.language, f"the fence of line {fence.line} has no language"


@by_page
def test_commands_exist(page: Path) -> None:
    for line in shell_lines(page):
        words = shlex.split(line, comments=True)
        words = words[next((i for i, w in enumerate(words) if "=" not in w), 0) :]
        if words[:1] == ["make"]:
            assert words[1] in make_targets(), line
        elif words and words[0].rpartition("/")[2] == "zenskar":
            assert any(" ".join(["zenskar", *words[1:]]).startswith(c) for c in COMMANDS), line


@by_page
def test_variables_exist(page: Path) -> None:
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    sources = [*CORE.rglob("*.py"), *(ROOT / "tests").rglob("*.py"), ROOT / "docker-compose.yml"]
    for name in set(re.findall(rf"\b{PREFIX}[A-Z_]*[A-Z]\b", page.read_text())):
        if name.removesuffix("_FILE") not in known:
            assert any(name in path.read_text() for path in sources if path.exists()), name


@by_page
def test_curl_asks_for_routes_that_exist(page: Path) -> None:
    known = [(route.method, as_pattern(route.path)) for route in routes()]
    for line in shell_lines(page):
        words = shlex.split(line, comments=True)
        if words[:1] != ["curl"]:
            continue
        if any(f":{TOY_PORT}/" in word for word in words):
            continue
        method, path = asked(words)
        if path.startswith("/_sandbox/"):
            assert (method, path) in sandbox_routes(), line
        else:
            assert any(m == method and p.fullmatch(path) for m, p in known), line


def shell_lines(page: Path) -> Iterator[str]:
    for fence in fences(page):
        if fence.language in {"sh", "console"}:
            text = fence.text.replace("\\\n", " ")
            for line in re.split(r"\n(?=\S)|\s\|\s", text):
                yield line.strip().removeprefix("$ ")


def asked(words: list[str]) -> tuple[str, str]:
    """The method and the path that a curl command asks for."""
    has_body = any(w in {"-d", "--data", "--json", "--data-binary"} for w in words)
    method = words[words.index("-X") + 1] if "-X" in words else "POST" if has_body else "GET"
    address = next(w for w in words if re.match(r"https?://|\$\w+/|localhost", w))
    path = re.sub(r"^(https?://[^/]*|\$\w+|localhost:\d+)", "", address)
    return method, urlsplit(path).path


def as_pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\\{\w+\\}", r"[^/]+", re.escape(path)))


def sandbox_routes() -> "Routes":
    control = Control(MagicMock(), MagicMock(), StripeSandbox.edits(MagicMock()))
    return Routes({(route.method, route.path) for route in control.routes() if route.method != "*"})


class Routes:
    """Says whether one of the routes fits a method and a path."""

    def __init__(self, pairs: set[tuple[str, str]]) -> None:
        self._pairs = [(method, as_pattern(path)) for method, path in pairs]

    def __contains__(self, asked: tuple[str, str]) -> bool:
        return any(m == asked[0] and p.fullmatch(asked[1]) for m, p in self._pairs)


def make_targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@by_page
def test_every_page_is_in_the_index(page: Path) -> None:
    if page.parent == DOCS and page.name != "README.md":
        assert f"]({page.name})" in (DOCS / "README.md").read_text()


def test_settings_can_be_read_as_documented() -> None:
    """The settings accept the example of a `.env` file."""
    (example,) = [f for f in fences(DOCS / "configuration.md") if f.language == "ini"]
    environment: Mapping[str, str] = dict(
        line.split("=", 1) for line in example.text.splitlines() if line and line[0] != "#"
    )
    names = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields}
    own = {name for name in environment if name.startswith(PREFIX)}
    assert own <= names
    assert load(environment)


def test_every_folder_of_tests_is_explained() -> None:
    folders = {f"tests/{f.parent.name}" for f in (ROOT / "tests").glob("*/test_*.py")}
    assert folders <= set(code(section("testing.md", "## Where tests are")))
