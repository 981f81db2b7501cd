"""The last lines of the lane: tests, versions and counts."""

from collections.abc import Mapping

from tests.kafka import postgres
from tests.kafka.cluster import GIVEN
from tests.kafka.jars import LaneUnavailable, chosen_version, distribution, java_version

figures: list[str] = []
"""A line for each fault test, in the order of the run."""
left_out: list[str] = []
"""Tests that need parts, or kills, that this cluster does not allow."""


def lines(environment: Mapping[str, str]) -> list[str]:
    """Return the summary."""
    missing = [f"not on this cluster: {', '.join(left_out)}"] if left_out else []
    return ["", *figures, *missing, *_versions(environment)]


def _versions(environment: Mapping[str, str]) -> list[str]:
    database = f"PostgreSQL {postgres.version(postgres.binaries())}"
    if given := environment.get(GIVEN):
        return [f"versions: Kafka as given at {given}, {database}"]
    try:
        kafka = distribution(chosen_version(environment))
    except LaneUnavailable as error:
        return [str(error)]
    keeper = f"ZooKeeper {kafka.zookeeper}" if kafka.zookeeper else "KRaft, no ZooKeeper"
    return [f"versions: Kafka {kafka.kafka}, {keeper}, {database}, Java {java_version()}"]
