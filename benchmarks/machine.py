"""The cost of processes, and the disturbance by others."""

import os
import platform
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks import interpreter

_TICK = os.sysconf("SC_CLK_TCK")
_DISTURBED_SHARE = 0.1


@dataclass(frozen=True)
class Cost:
    """CPU seconds by part, and those of other processes."""

    seconds: float
    cpu: Mapping[str, float]
    others: float

    def per_event(self, events: int) -> dict[str, float]:
        """Return microseconds of CPU an event, by part and in all."""
        parts = {name: round(used / events * 1e6, 1) for name, used in self.cpu.items()}
        return parts | {"total": round(sum(self.cpu.values()) / events * 1e6, 1)}

    @property
    def disturbed(self) -> float:
        """The share of the machine that others used."""
        return max(0.0, self.others) / (self.seconds * (os.cpu_count() or 1))


class Meter:
    """Measures from its start; `parts` names the processes, each with its children."""

    def __init__(self, parts: Mapping[str, Iterable[int]]) -> None:
        self._parts = {name: list(pids) for name, pids in parts.items()}
        self._before = self._read()
        self._began, self._busy = time.perf_counter(), _busy()

    def stop(self) -> Cost:
        """Return the usage since the start."""
        after, busy = self._read(), _busy()
        cpu = {name: after[name] - self._before[name] for name in after}
        others = (busy - self._busy) - sum(cpu.values())
        return Cost(time.perf_counter() - self._began, cpu, others)

    def _read(self) -> dict[str, float]:
        children, named = _children(), {pid for pids in self._parts.values() for pid in pids}
        return {
            name: sum(_used(pid, children, named) for pid in pids)
            for name, pids in self._parts.items()
        }


def memory(pid: int) -> float:
    """Return the resident memory of a process, in MB."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def is_disturbed(share: float) -> bool:
    """Return whether other processes used so much that the figures cannot be trusted."""
    return share > _DISTURBED_SHARE


def description() -> dict[str, str | int | None]:
    """Return the description of the machine, and the Python of all sides."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": python(),
    }


def python() -> str:
    """Return version and place of the Python of all sides."""
    program = interpreter.chosen()
    return f"{interpreter.version(program)}, {program}"


def _busy() -> float:
    fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    values = [int(field) for field in fields[:8]]
    idle = values[3] + values[4]
    return (sum(values) - idle) / _TICK


def _stat(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int(_stat(entry.name)[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    return children


def _used(pid: int, children: Mapping[int, list[int]], named: Collection[int]) -> float:
    """Return the CPU of a process and of all its children, except `named` processes."""
    try:
        fields = _stat(pid)
    except OSError:
        return 0.0
    own = sum(int(field) for field in fields[11:15]) / _TICK
    below = [child for child in children.get(pid, []) if child not in named]
    return own + sum(_used(child, children, named) for child in below)
