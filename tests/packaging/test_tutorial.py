"""Every command and file of docs/tutorial.md, in their order, where only wheels are installed.

The page installs with pip. Here a program of this name installs with uv, from the built wheels.
"""

import json
import os
import re
import shlex
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cli.processes import Running, empty_folder, environment, until
from tests.packaging.building import ROOT, UV, execute
from tests.packaging.conftest import Environment
from tests.test_docs import Fence, fences

PAGE = ROOT / "docs" / "tutorial.md"
PORTS = ("8000", "9000")
"""The ports of the page, which are free ones in the test."""
INSTALLED = "pip install 'zenskar[embedded,testing]'"
"""The command that makes the environment of an author."""
SERVERS = ("python -m tests.guestbook", "zenskar dev")
COMMAND_SECONDS = 280
"""The limit of a command; a conformance test with a whole runtime takes long on a busy machine."""
_INDEX = re.compile(r"(UV|PIP|SSL|HTTPS?|ALL|NO)_", re.IGNORECASE)
"""The variables by which uv finds the index of packages."""
_FILE = re.compile(r"`([\w./]+)`:$")
_ACTIVATE = re.compile(r"^\. .*/activate$", re.MULTILINE)


@dataclass
class Terminal:
    """The terminals of a reader: the folder of the commands, and the programs that run."""

    folder: Path
    variables: dict[str, str]
    running: list[Running] = field(default_factory=list)

    def enter(self, commands: str) -> str:
        """Run commands to their end, and stay in their last folder; return their output."""
        place = self.folder.parent / "place"
        script = f"set -eu\n{commands}\npwd > {place}"
        command, variables = ("bash", "-c", script), self.variables
        output = execute(*command, cwd=self.folder, variables=variables, seconds=COMMAND_SECONDS)
        self.folder = Path(place.read_text().strip())
        return output

    def start(self, commands: str) -> None:
        """Run commands of which the last one runs until it is stopped."""
        *first, last = commands.splitlines()
        script = "\n".join(("set -eu", *first, f"exec {last}"))
        self.running.append(Running(("bash", "-c", script), self.folder, self.variables))

    def stop(self) -> None:
        for each in reversed(self.running):
            if each.process.poll() is None:
                each.stop()


@pytest.fixture
def terminal(author: Environment) -> Iterator[Terminal]:
    with empty_folder() as folder, ExitStack() as stack:
        _write_pip(folder / "bin" / "pip", author)
        path = f"{folder / 'bin'}:{author.programs}:{environment()['PATH']}"
        index = {name: text for name, text in os.environ.items() if _INDEX.match(name)}
        variables = environment(PATH=path, PYTHONDONTWRITEBYTECODE="1", **index)
        opened = Terminal(folder / "home", variables)
        opened.folder.mkdir()
        stack.callback(opened.stop)
        yield opened


def _write_pip(path: Path, author: Environment) -> None:
    """Write a pip that installs into the environment of the author, from the built wheels."""
    path.parent.mkdir()
    python, constraints = author.programs / "python", ROOT / "constraints.txt"
    options = ("-q", "--python", python, "-c", constraints, "--find-links", author.wheels.folder)
    command = shlex.join(map(str, (UV, "pip", "install", *options)))
    path.write_text(f'#!/bin/sh\nshift\nexec {command} "$@"\n')
    path.chmod(0o755)


@pytest.mark.timeout(600)
def test_the_tutorial_leads_to_a_synced_record(terminal: Terminal) -> None:
    found = steps(PAGE)
    assert INSTALLED in found[0].fence.text
    terminal.variables["ZENSKAR_PORT"] = found[0].ports[0]
    asked = ""
    for step in found[1:]:
        text = step.text
        if step.file is not None:
            (terminal.folder / step.file).write_text(text)
        elif step.fence.language == "json":
            wanted = json.loads(text)
            until(lambda a=asked, w=wanted: shows(json.loads(terminal.enter(a)), w))
        elif text.splitlines()[-1].startswith(SERVERS):
            terminal.start(text)
            until(lambda port=step.server_port: answers(port))
        else:
            asked = text
            output = terminal.enter(text)
    assert "guestbook: update" not in output
    assert "Ada Lovelace" in output


@dataclass(frozen=True)
class Step:
    """A block of the page with free ports, and the file that it is written to, if any."""

    fence: Fence
    file: str | None
    ports: tuple[str, ...]

    @property
    def server_port(self) -> str:
        """The port of the server that the block starts."""
        return self.ports["guestbook" in self.text.splitlines()[-1]]

    @property
    def text(self) -> str:
        text = _ACTIVATE.sub("", self.fence.text).strip()
        for written, free in zip(PORTS, self.ports, strict=True):
            text = text.replace(f":{written}", f":{free}").replace(f" {written} ", f" {free} ")
        return text


def steps(page: Path) -> list[Step]:
    lines, ports = page.read_text().splitlines(), tuple(map(str, free_ports(len(PORTS))))
    return [Step(fence, file_before(lines, fence), ports) for fence in fences(page)]


def file_before(lines: list[str], fence: Fence) -> str | None:
    """Return the file that the text before a block names."""
    before = next(line for line in reversed(lines[: fence.line - 1]) if line)
    found = _FILE.search(before)
    return found.group(1) if found else None


def free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def answers(port: str) -> bool:
    """Return whether a server listens."""
    try:
        socket.create_connection(("127.0.0.1", int(port)), timeout=1).close()
    except OSError:
        return False
    return True


def shows(found: Any, wanted: Any) -> bool:
    """Return whether an answer has what the page shows; "…" is any text."""
    if isinstance(wanted, dict):
        known = isinstance(found, dict) and wanted.keys() <= found.keys()
        return known and all(shows(found[name], each) for name, each in wanted.items())
    if isinstance(wanted, list):
        known = isinstance(found, list) and len(found) == len(wanted)
        return known and all(map(shows, found, wanted))
    return bool(found) if wanted == "…" else bool(found == wanted)
