"""The members of the consumer groups, and the partitions that each of them receives."""

from collections.abc import Mapping, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.coordinator.protocol import ConsumerProtocolMemberAssignment
from aiokafka.errors import for_code

from zenskar.bus.kafka.options import MEMBER
from zenskar.db.log_positions import Place


async def members(admin: AIOKafkaAdminClient, groups: Sequence[str]) -> Mapping[str, set[Place]]:
    """Return the partitions of each member by host; a member that has just joined has none.

    Raises `KafkaError` when Kafka does not answer.
    """
    found: dict[str, set[Place]] = {}
    for group in groups:
        # A request for each group: aiokafka misreads an answer about several groups.
        (response,) = await admin.describe_consumer_groups([group])
        ((code, _, _, _, _, there, *_),) = response.groups
        if code:
            raise for_code(code)
        for _, client, address, _, assigned in there:
            found.setdefault(_host(client, address), set()).update(_partitions(assigned))
    return found


def _host(client: str, address: str) -> str:
    """Return the host of a member, or its address if an older release names no host."""
    return client.removeprefix(MEMBER) if client.startswith(MEMBER) else address.strip("/")


def _partitions(assigned: bytes) -> set[Place]:
    if not assigned:
        return set()
    return {
        (p.topic, p.partition)
        for p in ConsumerProtocolMemberAssignment.decode(assigned).partitions()
    }
