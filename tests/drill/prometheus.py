"""A real Prometheus with the rules that are shipped, on a shorter clock."""

import re
import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.kafka.cluster import free_ports
from tests.kafka.java import HOST
from tests.kafka.processes import Process, serve, until

RULES = Path(__file__).parents[2] / "deploy" / "prometheus" / "rules.yml"
FACTOR = 12
"""A minute of the rules is five seconds of the drill: the times of alerts, windows and ages."""
SHORTEST_SECONDS, LONGEST_SECONDS = 20, 60
"""How long an alert waits in the drill: longer than the restart of a process takes."""
SCRAPE_SECONDS = 5
"""Longer than /metrics takes without the database."""
_START_SECONDS = 60.0
_UNITS = {"s": 1, "m": 60, "h": 3600}
_CONFIGURATION = """
global:
  scrape_interval: {seconds}s
  scrape_timeout: {seconds}s
  evaluation_interval: 1s
rule_files: [rules.yml]
scrape_configs:
"""
_JOB = "  - job_name: {name}\n    static_configs:\n      - targets: {targets}\n"


@dataclass(frozen=True)
class Prometheus:
    """A running Prometheus."""

    process: Process
    url: str

    async def firing(self) -> dict[str, str]:
        """Return the alerts that fire, each with its severity."""
        found = await self._ask('ALERTS{alertstate="firing"}')
        return {each["metric"]["alertname"]: each["metric"]["severity"] for each in found}

    async def is_scraping(self, targets: int) -> bool:
        """Return whether so many targets answer."""
        return len(await self._ask("up == 1")) >= targets

    async def _ask(self, query: str) -> Sequence[Mapping[str, dict[str, str]]]:
        timeout = aiohttp.ClientTimeout(total=10)
        async with aiohttp.ClientSession(timeout=timeout) as http:
            url = f"{self.url}/api/v1/query"
            async with http.get(url, params={"query": query}) as response:
                found: list[dict[str, dict[str, str]]] = (await response.json())["data"]["result"]
                return found


@asynccontextmanager
async def open_prometheus(
    folder: Path, targets: Mapping[str, Sequence[str]]
) -> AsyncIterator[Prometheus]:
    """Scrape the targets of each job, given as host:port, and evaluate the rules."""
    home, (port,) = folder / "prometheus", free_ports(1)
    home.mkdir()
    (home / "rules.yml").write_text(scaled(RULES.read_text()))
    jobs = [_JOB.format(name=name, targets=list(hosts)) for name, hosts in targets.items()]
    configuration = _CONFIGURATION.format(seconds=SCRAPE_SECONDS) + "".join(jobs)
    (home / "prometheus.yml").write_text(configuration)
    options = (
        f"--config.file={home / 'prometheus.yml'}",
        f"--storage.tsdb.path={home / 'data'}",
        f"--web.listen-address={HOST}:{port}",
    )
    program = shutil.which("prometheus")
    assert program is not None, "the drill needs Prometheus: apt-get install prometheus"
    process = Process("prometheus", (program, *options), folder)
    prometheus = Prometheus(process, f"http://{HOST}:{port}")
    await serve(process, lambda: _is_ready(prometheus.url), _START_SECONDS)
    try:
        count = sum(map(len, targets.values()))
        await until(lambda: prometheus.is_scraping(count), _START_SECONDS, "the first scrape")
        yield prometheus
    finally:
        await process.stop()


def scaled(rules: str) -> str:
    """Return rules whose times are shorter by the factor, and no alert waits long."""
    rules = re.sub(r"\bfor: (\d+)([smh])", _wait, rules)
    rules = re.sub(r"\[(\d+)([smh])\]", _window, rules)
    rules = re.sub(r"\boffset (\d+)([smh])", lambda m: f"offset {_seconds(m)}s", rules)
    ages = r"((?:oldest|stalled)_seconds\) > )(\d+)"
    return re.sub(ages, lambda m: f"{m[1]}{int(m[2]) // FACTOR}", rules)


def _wait(found: re.Match[str]) -> str:
    return f"for: {min(max(_seconds(found), SHORTEST_SECONDS), LONGEST_SECONDS)}s"


def _window(found: re.Match[str]) -> str:
    return f"[{max(_seconds(found), 2 * SCRAPE_SECONDS)}s]"


def _seconds(found: re.Match[str]) -> int:
    return max(1, int(found[1]) * _UNITS[found[2]] // FACTOR)


async def _is_ready(url: str) -> bool:
    try:
        timeout = aiohttp.ClientTimeout(total=2)
        ready = f"{url}/-/ready"
        async with aiohttp.ClientSession(timeout=timeout) as http, http.get(ready) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False
