"""Installs the peers from their registries, with pinned versions, into a folder git ignores."""

import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
FOLDER = HERE / "peers"
PYTHON_PEERS = ("faststream[kafka]==0.7.8", "stripe==16.1.0", "httpx==0.28.1")
"""The libraries that they share with zenskar have its versions."""
_SHARED = ("aiokafka", "asyncpg", "orjson", "uvloop", "aiohttp")


class PeerMissing(Exception):
    """A peer cannot be installed here; the message says why."""


def python() -> str:
    """Return the interpreter of the peers in Python."""
    folder = FOLDER / "python"
    wanted, stamp = "\n".join(PYTHON_PEERS), folder / "installed"
    program = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text() != wanted:
        from importlib.metadata import version

        uv = str(Path(sys.executable).parent / "uv")
        shared = [f"{name}=={version(name)}" for name in _SHARED]
        _run([uv, "venv", "-q", "--allow-existing", "--python", sys.executable, str(folder)])
        _run([uv, "pip", "install", "-q", "--python", str(program), *PYTHON_PEERS, *shared])
        stamp.write_text(wanted)
    return str(program)


def node() -> Path:
    """Return the folder with the peers in JavaScript and what serves them."""
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


def _run(command: list[str], folder: Path | None = None) -> None:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerMissing(f"{' '.join(command[:3])} failed: {done.stderr.strip()[-500:]}")
