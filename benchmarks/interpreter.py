"""Chooses the Python of all sides in Python: the fastest that is installed here.

Distributions, the official images and uv build Python with profile-guided optimization; pyenv does
not by default, and such a Python takes a tenth longer or more. Node has its own build.
"""

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

_NAMES = ("python3", *(f"python3.{minor}" for minor in range(11, 16)))
_PLACES = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")
_PASSES = 5
_PROBE = """
import dataclasses, sys, time

@dataclasses.dataclass(frozen=True)
class Pair:
    number: int
    name: str

def work():
    found = {}
    for number in range(1_000):
        pair = Pair(number, f"k{number % 100}")
        found[pair.name] = pair
        for name, value in {key: value for key, value in vars(pair).items()}.items():
            if isinstance(value, str):
                found[name] = ",".join((value.partition("k")[2], pair.name))

def seconds():
    began = time.perf_counter()
    work()
    return time.perf_counter() - began

if sys.version_info < (3, 11):
    sys.exit("too old")
print(min(seconds() for _ in range(40)), getattr(sys, "_base_executable", sys.executable))
"""


@functools.cache
def chosen() -> Path:
    """Return the interpreter that BENCH_PYTHON names, else the fastest from 3.11 on."""
    named = os.environ.get("BENCH_PYTHON")
    if named:
        program = shutil.which(named)
        return Path(program) if program else sys.exit(f"BENCH_PYTHON: there is no {named}")
    programs = (Path(sys.executable), *_installed())
    times = dict(found for program in programs for found in _probe(program))
    for _ in range(_PASSES):
        again = [found for program in times for found in _probe(program)]
        times |= {path: min(seconds, times[path]) for path, seconds in again}
    return min(times, key=lambda path: times[path])


def version(program: Path) -> str:
    """Return the version of an interpreter."""
    command = (program, "-c", "import platform; print(platform.python_version())")
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _installed() -> set[Path]:
    places = (*os.environ.get("PATH", "").split(os.pathsep), *_PLACES)
    found = (shutil.which(name, path=place) for place in places for name in _NAMES)
    return {Path(name).resolve() for name in found if name is not None}


def _probe(program: Path) -> list[tuple[Path, float]]:
    """Run the probe; return nothing for a program that is not Python 3.11 or newer."""
    done = subprocess.run((program, "-c", _PROBE), capture_output=True, text=True, check=False)
    if done.returncode:
        return []
    seconds, _, path = done.stdout.strip().partition(" ")
    return [(Path(path).resolve(), float(seconds))]
