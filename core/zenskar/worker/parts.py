"""The parts of a worker that record spans, where tracing is on."""

from collections.abc import Callable
from typing import NamedTuple

from zenskar.sync.inbound.apply import InboundSync
from zenskar.sync.outbound.calls import Caller
from zenskar.sync.outbound.push import OutboundSync
from zenskar.worker.relay import Relay


class WorkerParts(NamedTuple):
    """The classes of these parts, or functions that build the traced ones."""

    caller: Callable[..., Caller] = Caller
    inbound: Callable[..., InboundSync] = InboundSync
    outbound: Callable[..., OutboundSync] = OutboundSync
    relay: Callable[..., Relay] = Relay
