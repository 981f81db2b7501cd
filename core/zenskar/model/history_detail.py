"""The `detail` of a history entry: one JSON object for every transition of a sync event."""

from typing import Any, NotRequired, TypedDict

from zenskar.model.fields import FieldChanges

_Actor = TypedDict("_Actor", {"by": str, "from": str}, total=False)
"""The actor that asked for a change, and the place that the request came from."""


class ConflictDetail(TypedDict):
    """A field that both sides changed: the three values, the winner, and the policy or ground."""

    path: str
    base: Any
    internal: Any
    external: Any
    winner: str
    policy: str


class ViolationDetail(TypedDict):
    """A violated rule: its plugin or the connection with its profile, the place and the text."""

    plugin: NotRequired[str]
    connection: NotRequired[str]
    pointer: str
    message: str


class AdditionDetail(TypedDict):
    """The pointers of the members that a plugin has added to the body of a push."""

    plugin: str
    members: list[str]


class HistoryDetail(_Actor, total=False):
    """The members that a history entry may have; an entry holds those that apply to it.

    `FieldChanges` are leaf pointers with their new values, None for a field that is unset.
    """

    reason: str
    """Why the event has its status."""
    error_kind: str
    error_message: str
    retry_in_seconds: float
    received_at: str
    """When an inbound event was received, in RFC 3339 on the API's clock."""
    record_version: int
    """The version of the record after the change."""
    changes: FieldChanges
    """Changes made to the record; in an entry with `step`, changes sent to the external object."""
    before: FieldChanges
    """Values that `changes` replaced."""
    step: str
    """The call that is about to be made, a `StepKind`."""
    idempotency_key: str
    """The key of a push, which is the id of its intent."""
    answer_to: str
    """The call that was answered, a `StepKind`."""
    external_id: str
    """The external object of an answer."""
    verdict: str
    """The kernel's decision on an observation: a `Verdict`, `not_found` or `touched`.

    After a refused push `gone`, `stale_version` or `exists`.
    """
    candidates: list[str]
    """The records that an unknown object matches: the linked one, or those to choose from."""
    look: str
    """The event of the fetch that shows the object which an event names."""
    merged_into: str
    """The object into which the observed object was merged."""
    purged: bool
    """Whether the external system demands to forget the deleted object."""
    revision: int
    """The revision of the mapping after the decision."""
    fetch_wanted: bool
    """Whether the mapping waits for a fetch."""
    seen: FieldChanges
    """Differences between the observed object and the base, where they are not `changes`."""
    conflicts: list[ConflictDetail]
    violations: list[ViolationDetail]
    """The rules that a change of a connection violates; it was applied nevertheless."""
    added: list[AdditionDetail]
    """The members that plugins have added to the push of the entry before."""
    message: str
    """The id of the message that replaces an unreadable one."""
    erased: bool
    """Whether the values of this entry were erased with their customer."""
