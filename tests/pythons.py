"""Lists the installed Pythons that the suite runs on: python -m tests.pythons [--others].

Each line is `MINOR PATH`: the newest usable patch of every minor version from 3.11 on. `--others`
omits the running Python. pyenv hides inactive versions; their folders are searched too.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

_OLDEST = (3, 11)
_NEEDED = ("ensurepip", "ssl", "venv", "zlib")


def main() -> None:
    """Print the list; say of each Python that cannot run the suite what it lacks."""
    mine = sys.version_info[:2] if "--others" in sys.argv[1:] else None
    others = {minor: paths for minor, paths in installed().items() if minor != mine}
    if not others:
        print("lane pythons: no other Python from 3.11 on is installed", file=sys.stderr)
    for minor, paths in sorted(others.items()):
        version = ".".join(map(str, minor))
        lacking = {path: problem(path) for path in paths}
        if usable := [path for path, what in lacking.items() if what is None]:
            print(version, usable[0])
        else:
            told = "; ".join(f"{path}: {what}" for path, what in lacking.items())
            print(f"lane main (Python {version}): did not run, {told}", file=sys.stderr)


def installed() -> dict[tuple[int, int], list[str]]:
    """Return the paths of the CPythons that uv finds here by minor version, newest patch first."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    folders = sorted((Path.home() / ".pyenv" / "versions").glob("*/bin"))
    search = os.pathsep.join((*map(str, folders), os.environ.get("PATH", "")))
    command = (uv, "python", "list", "--only-installed", "--output-format", "json")
    answer = subprocess.run(
        command, env=os.environ | {"PATH": search}, capture_output=True, check=True
    )
    found: dict[tuple[int, int], list[tuple[int, str]]] = {}
    for each in json.loads(answer.stdout):
        parts = each["version_parts"]
        minor = (parts["major"], parts["minor"])
        usual = each["implementation"] == "cpython" and each["variant"] == "default"
        if usual and minor >= _OLDEST and "/shims/" not in each["path"]:
            found.setdefault(minor, []).append((parts["patch"], each["path"]))
    return {
        minor: [path for _, path in sorted(some, reverse=True)] for minor, some in found.items()
    }


def problem(path: str) -> str | None:
    """Return what keeps a Python from a virtual environment with packages, None without it."""
    try:
        tried = subprocess.run(
            (path, "-c", f"import {', '.join(_NEEDED)}"),
            check=False,
            capture_output=True,
            text=True,
        )
    except OSError as error:
        return str(error)
    if tried.returncode == 0:
        return None
    return (tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"])[-1]


if __name__ == "__main__":
    main()
