"""The faults of the drill, by the part that fails."""

from tests.drill.fault import Fault
from tests.drill.faults import disks, messages, people, processes, restore, schema, stores, stripe

ALL: tuple[Fault, ...] = (
    *processes.FAULTS,
    *stores.FAULTS,
    *disks.FAULTS,
    *schema.FAULTS,
    *restore.FAULTS,
    *stripe.FAULTS,
    *messages.FAULTS,
    *people.FAULTS,
)
