"""A real Kafka cluster on loopback: python -m tests.kafka.cluster [--brokers 1]."""

import argparse
import asyncio
import base64
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from tests.kafka import java
from tests.kafka.jars import Distribution, LaneUnavailable, chosen_version, distribution
from tests.kafka.java import HOST, Node
from tests.kafka.processes import Process, serve, until

GIVEN = "ZENSKAR_TEST_KAFKA"
START_SECONDS = 90.0


@dataclass
class Cluster:
    """The addresses of the brokers, and their processes if this test started them."""

    bootstrap: str
    kafka: Distribution | None = None
    zookeeper: Process | None = None
    zookeeper_port: int = 0
    brokers: list[Process] = field(default_factory=list)

    @property
    def given(self) -> bool:
        """Return whether the cluster was given, so that its processes cannot be killed."""
        return self.kafka is None

    async def start_zookeeper(self) -> None:
        """Start ZooKeeper, also after it was killed."""
        assert self.zookeeper is not None
        await serve(self.zookeeper, lambda: _imok(self.zookeeper_port), START_SECONDS)

    async def start_broker(self, index: int = 0) -> None:
        """Start a broker, also after it was killed."""
        address = self.bootstrap.split(",")[index]
        await serve(self.brokers[index], lambda: _serves(address), START_SECONDS)

    async def ready(self) -> None:
        """Wait until every broker is a member."""
        wanted = max(1, len(self.brokers))
        await until(lambda: _members(self.bootstrap, wanted), START_SECONDS, "the whole cluster")


@asynccontextmanager
async def open_cluster(
    folder: Path, brokers: int = 1, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Cluster]:
    """Start a cluster with its data in a folder, or use the given cluster."""
    environment = os.environ if environment is None else environment
    if given := environment.get(GIVEN):
        cluster = Cluster(given)
        await cluster.ready()
        yield cluster
        return
    kafka = await asyncio.to_thread(distribution, chosen_version(environment))
    cluster = await asyncio.to_thread(_lay_out, kafka, folder, brokers)
    try:
        await _start_all(cluster)
        yield cluster
    finally:
        await asyncio.gather(*(broker.stop() for broker in cluster.brokers))
        if cluster.zookeeper is not None:
            await cluster.zookeeper.stop()


def free_ports(count: int) -> list[int]:
    """Return free ports."""
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _lay_out(kafka: Distribution, folder: Path, brokers: int) -> Cluster:
    zookeeper_port, *ports = free_ports(1 + 2 * brokers)
    nodes = [Node(n + 1, ports[2 * n], ports[2 * n + 1]) for n in range(brokers)]
    cluster = Cluster(",".join(f"{HOST}:{node.port}" for node in nodes), kafka)
    environment = java.variables()
    if not kafka.kraft:
        command = java.zookeeper_command(kafka, folder, zookeeper_port)
        cluster.zookeeper = Process("zookeeper", command, folder, environment)
        cluster.zookeeper_port = zookeeper_port
    cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    for node in nodes:
        command = java.broker_command(kafka, folder, node, nodes, zookeeper_port)
        cluster.brokers.append(Process(f"broker-{node.number}", command, folder, environment))
        if kafka.kraft:
            _format(java.format_command(kafka, folder, node, cluster_id), environment)
    return cluster


def _format(command: tuple[str, ...], environment: Mapping[str, str]) -> None:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the storage cannot be formatted: {done.stdout}{done.stderr}")


async def _start_all(cluster: Cluster) -> None:
    if cluster.zookeeper is not None:
        await cluster.start_zookeeper()
    await asyncio.gather(*(cluster.start_broker(n) for n in range(len(cluster.brokers))))
    await cluster.ready()


async def _imok(port: int) -> bool:
    try:
        reader, writer = await asyncio.open_connection(HOST, port)
        writer.write(b"ruok")
        answer = await asyncio.wait_for(reader.read(4), 2)
        writer.close()
    except (OSError, TimeoutError):
        return False
    return answer == b"imok"


async def _serves(address: str) -> bool:
    """Return whether a broker answers: it listens long before, and may fail to register."""
    host, _, port = address.rpartition(":")
    try:
        _, writer = await asyncio.open_connection(host, int(port))
    except OSError:
        return False
    writer.close()
    return await _members(address, 1)


async def _members(bootstrap: str, wanted: int) -> bool:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=3000)
    try:
        await admin.start()
        found = await admin.describe_cluster()
        return len(found["brokers"]) >= wanted
    except (KafkaError, OSError):
        return False
    finally:
        await admin.close()


async def _serve(brokers: int, folder: Path) -> None:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with open_cluster(folder, brokers) as cluster:
        print(cluster.bootstrap, flush=True)
        print(f"logs and data: {folder}; Ctrl-C ends it", file=sys.stderr, flush=True)
        await stopping.wait()


def main() -> None:
    """Run a cluster until Ctrl-C and print its address."""
    parser = argparse.ArgumentParser(prog="python -m tests.kafka.cluster", description=__doc__)
    parser.add_argument("--brokers", type=int, default=1)
    arguments = parser.parse_args()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it asks until it is answered
    with tempfile.TemporaryDirectory(prefix="zenskar-kafka-") as folder:
        try:
            asyncio.run(_serve(arguments.brokers, Path(folder)))
        except LaneUnavailable as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
