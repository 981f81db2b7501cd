"""The faults of the drill, by the part that fails."""

from tests.drill.fault import Fault
from tests.drill.faults import messages, people, processes, stores, stripe

ALL: tuple[Fault, ...] = (
    *processes.FAULTS,
    *stores.FAULTS,
    *stripe.FAULTS,
    *messages.FAULTS,
    *people.FAULTS,
)
