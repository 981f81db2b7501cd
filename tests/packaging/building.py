"""Build wheels as `make build` does, and install them where there is no checkout."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[2]
UV = shutil.which("uv") or str(Path(sys.executable).with_name("uv"))


def execute(
    *command: str | Path,
    cwd: Path,
    variables: Mapping[str, str] | None = None,
    seconds: float = 110,
) -> str:
    """Run a command; fail with its output."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env=variables,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(project: Path, into: Path) -> Path:
    """Return the wheel of a project."""
    command = (sys.executable, "-m", "build", "--installer", "uv", "--wheel")
    into.mkdir(parents=True, exist_ok=True)
    before = set(into.glob("*.whl"))
    execute(*command, "-o", into, project, cwd=into)
    (wheel,) = set(into.glob("*.whl")) - before
    return wheel


def install(venv: Path, *requirements: str | Path) -> None:
    """Install requirements into a virtual environment, which is made when it is missing."""
    if not venv.exists():
        execute(UV, "venv", "-q", "--python", sys.executable, venv, cwd=venv.parent)
    command = (UV, "pip", "install", "-q", "--python", venv / "bin" / "python")
    execute(*command, "-c", ROOT / "constraints.txt", *requirements, cwd=venv.parent)
