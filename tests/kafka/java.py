"""The command lines and the configuration of ZooKeeper and the brokers."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.kafka.jars import Distribution

HOST = "127.0.0.1"
_JVM = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true")

_LOG4J_1 = """\
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d %p %c{2}: %m%n
"""
_LOG4J_2 = """\
rootLogger.level=warn
rootLogger.appenderRef.stdout.ref=stdout
appender.stdout.type=Console
appender.stdout.name=stdout
appender.stdout.layout.type=PatternLayout
appender.stdout.layout.pattern=%d %p %c{2}: %m%n
"""


@dataclass(frozen=True)
class Node:
    """A broker's number and ports."""

    number: int
    port: int
    controller_port: int


def zookeeper_command(kafka: Distribution, folder: Path, port: int) -> tuple[str, ...]:
    """Write ZooKeeper's configuration and return its command line."""
    configuration = _write(
        folder / "zookeeper.properties",
        {
            "dataDir": folder / "zookeeper",
            "clientPort": port,
            "clientPortAddress": HOST,
            "tickTime": 500,
            "maxClientCnxns": 0,
            "admin.enableServer": "false",
            "4lw.commands.whitelist": "ruok,srvr",
        },
    )
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    return _java(kafka, folder, "128m", main, configuration)


def broker_command(
    kafka: Distribution, folder: Path, node: Node, nodes: Sequence[Node], zookeeper_port: int
) -> tuple[str, ...]:
    """Write a broker's configuration and return its command line."""
    values = _broker(folder, node, len(nodes))
    values |= _quorum(node, nodes) if kafka.kraft else _session(node, zookeeper_port)
    configuration = _write(folder / f"broker-{node.number}.properties", values)
    return _java(kafka, folder, "384m", "kafka.Kafka", configuration)


def format_command(
    kafka: Distribution, folder: Path, node: Node, cluster_id: str
) -> tuple[str, ...]:
    """Return the command that formats the storage of a broker without ZooKeeper."""
    configuration = str(folder / f"broker-{node.number}.properties")
    arguments = ("format", "-t", cluster_id, "-c", configuration)
    return _java(kafka, folder, "128m", "kafka.tools.StorageTool", *arguments)


def variables() -> dict[str, str]:
    """Return the environment of a Java process."""
    return {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}


def _broker(folder: Path, node: Node, brokers: int) -> dict[str, object]:
    copies = min(3, brokers)
    return {
        "log.dirs": folder / f"broker-{node.number}",
        "listeners": f"PLAINTEXT://{HOST}:{node.port}",
        "advertised.listeners": f"PLAINTEXT://{HOST}:{node.port}",
        "auto.create.topics.enable": "false",
        "num.partitions": 6,
        "default.replication.factor": copies,
        "min.insync.replicas": max(1, copies - 1),
        "offsets.topic.replication.factor": copies,
        "offsets.topic.num.partitions": 4,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.num.partitions": 2,
        "transaction.state.log.min.isr": max(1, copies - 1),
        "group.initial.rebalance.delay.ms": 0,
        "num.network.threads": 2,
        "num.io.threads": 4,
        "num.recovery.threads.per.data.dir": 2,
        "log.cleaner.dedupe.buffer.size": 8 * 1024 * 1024,
        "log.segment.bytes": 64 * 1024 * 1024,
        "controlled.shutdown.max.retries": 1,
    }


def _session(node: Node, zookeeper_port: int) -> dict[str, object]:
    return {
        "broker.id": node.number,
        "zookeeper.connect": f"{HOST}:{zookeeper_port}",
        "zookeeper.session.timeout.ms": 6000,
        "zookeeper.connection.timeout.ms": 30000,
    }


def _quorum(node: Node, nodes: Sequence[Node]) -> dict[str, object]:
    voters = ",".join(f"{one.number}@{HOST}:{one.controller_port}" for one in nodes)
    return {
        "process.roles": "broker,controller",
        "node.id": node.number,
        "controller.quorum.voters": voters,
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{HOST}:{node.port},CONTROLLER://{HOST}:{node.controller_port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "share.coordinator.state.topic.replication.factor": min(3, len(nodes)),
        "share.coordinator.state.topic.min.isr": max(1, min(3, len(nodes)) - 1),
    }


def _java(kafka: Distribution, folder: Path, heap: str, *command: str) -> tuple[str, ...]:
    first, second = folder / "log4j.properties", folder / "log4j2.properties"
    first.write_text(_LOG4J_1)
    second.write_text(_LOG4J_2)
    logs = (f"-Dlog4j.configuration=file:{first}", f"-Dlog4j2.configurationFile={second}")
    return ("java", f"-Xmx{heap}", *_JVM, *logs, "-cp", f"{kafka.libs}/*", *command)


def _write(path: Path, values: Mapping[str, object]) -> str:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
    return str(path)
