"""Installs all contenders, with pinned versions, into a folder that git ignores."""

import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from benchmarks import interpreter

HERE = Path(__file__).parent
FOLDER = HERE / "peers"
PYTHON_PEERS = ("faststream[kafka]==0.7.8", "stripe==16.1.0", "httpx==0.28.1")
"""Libraries shared with zenskar have its versions."""
_SHARED = ("aiokafka", "asyncpg", "orjson", "uvloop", "aiohttp")
_ROOT = HERE.parent
_PLUGINS = ("stripe", "salesforce")


class PeerMissing(Exception):
    """A contender cannot be installed here; the message says why."""


def python() -> str:
    """Return the interpreter of the peers in Python."""
    shared = [f"{name}=={version(name)}" for name in _SHARED]
    return _environment("python", [*PYTHON_PEERS, *shared])


def product(checkout: Path | None = None) -> str:
    """Return the interpreter with this zenskar, or that of another checkout, and its versions.

    Raises `PeerMissing` for a folder without a checkout.
    """
    root = checkout or _ROOT
    constraints = root / "constraints.txt"
    plugins = (root / "plugins" / name for name in _PLUGINS)
    projects = [root, *(plugin for plugin in plugins if plugin.exists())]
    declared = [constraints, *(project / "pyproject.toml" for project in projects)]
    if not all(path.exists() for path in declared):
        raise PeerMissing(f"{root} is no checkout of zenskar")
    # A checkout of any release has no such extra.
    extra = "[otel]" if checkout is None else ""
    editable = ["-e", f"{root}{extra}"]
    editable += [word for plugin in projects[1:] for word in ("-e", str(plugin))]
    texts = [path.read_text() for path in declared]
    name = "zenskar" if checkout is None else "other_zenskar"
    return _environment(name, ["-c", str(constraints), *editable], *texts)


def node() -> Path:
    """Return the folder with the peers in JavaScript and their server."""
    if shutil.which("npm") is None:
        raise PeerMissing("node and npm are not installed")
    FOLDER.mkdir(exist_ok=True)
    wanted, present = HERE / "node" / "package.json", FOLDER / "package.json"
    modules = FOLDER / "node_modules"
    if not modules.exists() or present.read_text() != wanted.read_text():
        shutil.copy(wanted, present)
        _run(["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"], FOLDER)
    shutil.copy(HERE / "node" / "server.cjs", FOLDER)
    return FOLDER


def _environment(name: str, packages: list[str], *declared: str) -> str:
    """Return the interpreter of an environment, created again when its contents change."""
    folder, base = FOLDER / name, str(interpreter.chosen())
    program, stamp = folder / "bin" / "python", folder / "installed"
    wanted = "\n".join((base, *packages, *declared))
    if not stamp.exists() or stamp.read_text() != wanted:
        uv = str(Path(sys.executable).parent / "uv")
        _run([uv, "venv", "-q", "--clear", "--python", base, str(folder)])
        _run([uv, "pip", "install", "-q", "--python", str(program), *packages])
        stamp.write_text(wanted)
    return str(program)


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerMissing(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
