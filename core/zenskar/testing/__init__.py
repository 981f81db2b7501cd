"""The conformance kit: checks that the author of a plugin or of a bus runs with pytest.

The extra `testing` of the distribution installs what it needs.
"""

from zenskar.testing.bus_conformance import BusConformance
from zenskar.testing.conformance import IntegrationConformance
from zenskar.testing.verdicts import (
    CapabilityVerdict,
    CheckOutcome,
    CheckVerdict,
    by_capability,
    judge,
)

__all__ = [
    "BusConformance",
    "CapabilityVerdict",
    "CheckOutcome",
    "CheckVerdict",
    "IntegrationConformance",
    "by_capability",
    "judge",
]
