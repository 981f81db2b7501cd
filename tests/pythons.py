"""Lists the installed Pythons that the suite runs on: python -m tests.pythons [--others].

Each line is `MINOR PATH`: the newest patch of every minor version from 3.11 on. `--others` omits
the running Python. pyenv hides inactive versions; their folders are searched too.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

_OLDEST = (3, 11)


def main() -> None:
    """Print the list."""
    mine = sys.version_info[:2] if "--others" in sys.argv[1:] else None
    for minor, path in sorted(installed().items()):
        if minor != mine:
            print(f"{minor[0]}.{minor[1]} {path}")


def installed() -> dict[tuple[int, int], str]:
    """Return the path of the newest CPython of each minor version that uv finds here."""
    uv = shutil.which("uv", path=str(Path(sys.executable).parent)) or "uv"
    folders = sorted((Path.home() / ".pyenv" / "versions").glob("*/bin"))
    search = os.pathsep.join((*map(str, folders), os.environ.get("PATH", "")))
    command = (uv, "python", "list", "--only-installed", "--output-format", "json")
    answer = subprocess.run(
        command, env=os.environ | {"PATH": search}, capture_output=True, check=True
    )
    newest: dict[tuple[int, int], tuple[int, str]] = {}
    for found in json.loads(answer.stdout):
        parts = found["version_parts"]
        minor = (parts["major"], parts["minor"])
        usable = found["implementation"] == "cpython" and found["variant"] == "default"
        if usable and minor >= _OLDEST and "/shims/" not in found["path"]:
            newest[minor] = max(newest.get(minor, (0, "")), (parts["patch"], found["path"]))
    return {minor: path for minor, (_, path) in newest.items()}


if __name__ == "__main__":
    main()
