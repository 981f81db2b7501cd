"""Measures: python -m benchmarks [--only NAME] [--rounds 5] [--scale 1.0] [--before DIR]."""

import argparse
import asyncio
import importlib
import json
import os
import pkgutil
import signal
import sys
import time
from contextlib import AsyncExitStack
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks import comparisons, machine
from benchmarks.bench import Bench, Comparison
from benchmarks.large_database import NoRoom
from benchmarks.peers import PYTHON_PEERS, PeerMissing
from benchmarks.servers import workplace
from tests.kafka.jars import LaneUnavailable

RESULTS = Path(__file__).parent / "results.json"
_LIBRARIES = ("zenskar", "aiohttp", "aiokafka", "asyncpg", "sqlalchemy", "stripe", "uvloop")


def main() -> None:
    """Run the requested comparisons, print a table, store the figures."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", help="comparisons whose name holds this word")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the events of a round")
    parser.add_argument("--long", action="store_true", help="also what takes long: scale, memory")
    parser.add_argument("--before", type=Path, help="another checkout, to compare with this one")
    options = parser.parse_args()
    if options.before is not None:
        options.before = options.before.resolve()
    modules = _modules(options)
    if not modules:
        sys.exit(f"no comparison has {options.only!r} in its name")
    with asyncio.Runner(loop_factory=_loop) as runner:
        try:
            complete = runner.run(_run(modules, options))
        except asyncio.CancelledError:
            sys.exit("terminated")
    sys.exit(0 if complete else 1)


def _loop() -> asyncio.AbstractEventLoop:
    import uvloop

    return uvloop.new_event_loop()


def _modules(options: argparse.Namespace) -> dict[str, ModuleType]:
    word = options.only
    names = sorted(module.name for module in pkgutil.iter_modules(comparisons.__path__))
    found = {name: importlib.import_module(f"benchmarks.comparisons.{name}") for name in names}
    return {
        name: module
        for name, module in found.items()
        if word in name
        and (options.long or word or not getattr(module, "LONG", False))
        and (options.before or word or not getattr(module, "BEFORE", False))
    }


async def _run(modules: dict[str, ModuleType], options: argparse.Namespace) -> bool:
    results = _known()
    complete = True
    _remove_files_at_sigterm()
    print(f"Python of all sides in Python: {machine.python()}", flush=True)
    async with workplace() as folder, AsyncExitStack() as stack:
        bench = Bench(folder, stack, options.rounds, options.scale, options.long, options.before)
        for name, module in modules.items():
            print(f"\n{module.TITLE}", flush=True)
            began, before = time.perf_counter(), os.getloadavg()[0]
            bench.disturbed.clear()
            try:
                found: Comparison = await module.run(bench)
            except (PeerMissing, LaneUnavailable, NoRoom) as error:
                print(f"  did not run: {error}")
                complete = False
                continue
            await bench.clear()
            entry = found.to_json() | {
                "title": module.TITLE,
                "rounds": options.rounds,
                "scale": options.scale,
                "seconds": round(time.perf_counter() - began, 1),
                "load_before": before,
                "warnings": bench.warnings,
                "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            }
            results[name] = entry
            results["machine"] = machine.description() | {"versions": _versions(bench)}
            RESULTS.write_text(json.dumps(results, indent=1) + "\n")
            _show(entry)
    print(f"\nAll figures: {RESULTS}")
    return complete


def _remove_files_at_sigterm() -> None:
    """Cancel the run when it is terminated, so that its databases leave the disk."""
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)


def _known() -> dict[str, Any]:
    try:
        known: dict[str, Any] = json.loads(RESULTS.read_text())
    except (OSError, ValueError):
        return {}
    return known


def _versions(bench: Bench) -> dict[str, str]:
    node = json.loads((Path(__file__).parent / "node" / "package.json").read_text())
    peers = dict(peer.split("==") for peer in PYTHON_PEERS)
    libraries = {name: version(name) for name in _LIBRARIES}
    return {**libraries, **peers, **node["dependencies"], **bench.versions}


def _show(entry: dict[str, Any]) -> None:
    sides = {"ours": entry["ours"], "theirs": entry["theirs"], **entry.get("others", {})}
    for side, figures in sides.items():
        for name, value in (figures or {}).items():
            shown = "  ".join(f"{kind} {number:>10,.1f}" for kind, number in value.items())
            print(f"  {side:<16} {name:<18} {shown}")
    for target in entry["targets"]:
        rule, value = next((r, target[r]) for r in ("at_least", "at_most") if r in target)
        verdict = "reached" if target["met"] else "MISSED"
        what = f"{target['what']}: {target['reached']:g}, {rule.replace('_', ' ')} {value:g}"
        print(f"  {verdict:<8} {what}")
    for warning in entry["warnings"]:
        print(f"  WARNING  {warning}; do not trust these figures")
    if entry.get("notes"):
        print(f"  ({entry['notes']})")


if __name__ == "__main__":
    main()
