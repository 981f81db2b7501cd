"""Apache Kafka and ZooKeeper as jars from Maven Central, kept in a folder that git ignores."""

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

POMS = Path(__file__).parent / "poms"
CACHE = Path(__file__).parent.parent.parent / ".kafka"
VERSION = "KAFKA_VERSION"

NO_JAVA = (
    "The Kafka lane needs Java 17 or newer: apt-get install openjdk-17-jre-headless"
    " (or point ZENSKAR_TEST_KAFKA at a running cluster, host:port)."
)
NO_MAVEN = (
    "The Kafka lane fetches Kafka with Maven: apt-get install maven"
    " (or point ZENSKAR_TEST_KAFKA at a running cluster, host:port)."
)


class LaneUnavailable(Exception):
    """A requirement of the lane is missing; the message names it."""


@dataclass(frozen=True)
class Distribution:
    """A version of Kafka on this machine."""

    kafka: str
    zookeeper: str | None
    libs: Path

    @property
    def kraft(self) -> bool:
        """Return whether this version runs without ZooKeeper."""
        return self.zookeeper is None


def chosen_version(environment: Mapping[str, str]) -> str:
    """Return the requested version: a full version, or 3.x or 4.x for the pinned version."""
    wanted = environment.get(VERSION, "").strip() or "3.x"
    if re.fullmatch(r"[34](\.x)?", wanted):
        return _pinned(_pom(wanted), "kafka.version")
    if re.fullmatch(r"[34]\.\d+\.\d+", wanted):
        return wanted
    raise LaneUnavailable(f"{VERSION}={wanted}: use 3.x, 4.x, or a version such as 3.4.1 or 4.4.0.")


def distribution(version: str) -> Distribution:
    """Return a version of Kafka, fetched on first use."""
    if shutil.which("java") is None:
        raise LaneUnavailable(NO_JAVA)
    pom, libs = _pom(version), CACHE / version / "libs"
    if not libs.is_dir():
        _fetch(pom, version, libs)
    found = sorted(libs.glob("zookeeper-[0-9]*.jar"))
    zookeeper = found[0].stem.removeprefix("zookeeper-") if found else None
    return Distribution(version, zookeeper, libs)


def java_version() -> str:
    """Return the version of Java, as it names itself."""
    told = subprocess.run(("java", "-version"), capture_output=True, text=True, check=True)
    return (told.stderr or told.stdout).splitlines()[0]


def _pom(version: str) -> Path:
    return POMS / f"kafka-{version[0]}.xml"


def _pinned(pom: Path, name: str) -> str:
    found = re.search(f"<{re.escape(name)}>(.*?)</", pom.read_text())
    assert found is not None
    return found[1]


def _fetch(pom: Path, version: str, libs: Path) -> None:
    if shutil.which("mvn") is None:
        raise LaneUnavailable(NO_MAVEN)
    half = libs.with_name(f"fetching-{os.getpid()}")
    command = (
        *("mvn", "-B", "-q", "-f", str(pom), "dependency:copy-dependencies"),
        *(f"-Dkafka.version={version}", "-DincludeScope=runtime", f"-DoutputDirectory={half}"),
    )
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LaneUnavailable(f"Maven could not fetch Kafka {version}:\n{done.stdout[-2000:]}")
    try:
        half.rename(libs)
    except OSError:
        # Another process was faster.
        shutil.rmtree(half)
