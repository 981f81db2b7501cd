"""The values that an integration and the core exchange."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from zenskar.model.interval import Interval
from zenskar.model.record import IntentKind


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of a connection, read from `<CONNECTION>_<NAME>` in the environment.

    `kind` is the type of the parsed value. A secret never appears in logs or listings.
    """

    name: str
    kind: type[str] | type[int] | type[float] | type[bool] = str
    required: bool = False
    secret: bool = False
    default: str | int | float | bool | None = None
    help: str = ""


@dataclass(frozen=True, slots=True)
class Connection:
    """A configured plugin. `name` is the `source_system` everywhere."""

    name: str
    settings: Mapping[str, Any] = field(repr=False, default_factory=dict)


_CONTENT_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+(?: *; *[\w.-]+=[\w.+-]+)*", re.ASCII)
NO_QUERY: Mapping[str, Sequence[str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A received webhook: headers by lower-case names, raw bytes, receipt in Unix seconds.

    `url` is the address as the sender knows it, with the query as it was sent. `query` has every
    value of each parameter. `token` is the last part of a path `/webhooks/{source}/{token}`. `peer`
    is the address of the client, behind the trusted proxies. `certificate` is the client's
    certificate in the form in which a trusted proxy passes it.
    """

    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    received_at: float = 0.0
    method: str = "POST"
    url: str = field(repr=False, default="")
    query: Mapping[str, Sequence[str]] = field(repr=False, default_factory=lambda: NO_QUERY)
    peer: str | None = field(repr=False, default=None)
    certificate: str | None = field(repr=False, default=None)
    token: str | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class WebhookAnswer:
    """An integration's own answer to a webhook or to a challenge. A text is sent in UTF-8.

    Raises `ValueError` for a status that is not 200 to 299, or a content type that is none.
    """

    body: str | bytes = field(repr=False, default="")
    content_type: str = "text/plain"
    status: int = 200

    def __post_init__(self) -> None:
        if not 200 <= self.status < 300:
            raise ValueError("the status of a webhook's answer must be 200 to 299")
        if not _CONTENT_TYPE.fullmatch(self.content_type):
            raise ValueError("the content type of a webhook's answer is none")


@dataclass(frozen=True, slots=True)
class ExternalObject:
    """An external object in the external system's own terms; `data` is None when deleted.

    `record_id` is the id of our record that the integration stored on the object, if any.
    `answered_at` is the second of the external clock in which a call returned the object, as in
    an HTTP `Date` header; see `http_date`. `changed_at` is the time of the object's last change on
    the external clock, where the object shows that. `version` is the external system's own name of
    this state, such as an ETag; the core compares it for equality only. `memo` is a JSON object of
    at most 4096 bytes, which comes back in `Change.memo`. `merged_into` is the id of the object
    into which this object was merged; `data` is None then, and nothing is deleted. `purged` says
    that the external system has deleted the object and demands that its data is forgotten.
    """

    entity_type: str
    external_id: str
    data: Mapping[str, Any] | None = field(repr=False)
    record_id: str | None = None
    answered_at: int | None = None
    changed_at: Interval | None = None
    version: str | None = None
    memo: Mapping[str, Any] | None = field(repr=False, default=None)
    merged_into: str | None = None
    purged: bool = False


@dataclass(frozen=True, slots=True)
class ObjectRef:
    """The name of an external object, without its state."""

    entity_type: str
    external_id: str


@dataclass(frozen=True, slots=True)
class WebhookEvent:
    """An event of a webhook or of a feed.

    An event shows an object as `seen`, or names it as `touched`: then a worker fetches the object.
    An event that this integration does not sync has neither; `ignored` then gives the reason in
    one word (`unknown_type`, `other_account`). `id` is None when the external system assigns no
    ids. `occurred` is on the external clock, and may be None for an event without `seen`;
    in a feed, `Changes` says more.
    `origin_key` is the idempotency key of the call that caused the event. `sent_at` is the second
    of the external clock in which this webhook was sent, possibly long after the event. `changed`
    points to the canonical fields that this call changed (`/phone`, `/metadata/plan`, "" for all).
    With `changed` and without `origin_key`, no call with a key caused the event. `changed` None:
    the origin is unknown.
    """

    id: str | None
    type: str
    occurred: Interval | None = None
    seen: ExternalObject | None = None
    ignored: str | None = None
    origin_key: str | None = None
    sent_at: int | None = None
    changed: tuple[str, ...] | None = None
    touched: ObjectRef | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """The change that a push makes, in canonical terms, for `from_canonical`.

    `patch` is a JSON merge patch (RFC 7396) of the canonical document: on a create every field
    with a value, on an update the changed fields, None to unset, empty on a delete.
    `document` is the whole canonical document after the push. `memo` is the last memo that the
    integration made of the object, None on a create or without one.
    """

    kind: IntentKind
    entity_type: str
    record_id: str
    patch: Mapping[str, Any] = field(repr=False)
    document: Mapping[str, Any] = field(repr=False)
    memo: Mapping[str, Any] | None = field(repr=False, default=None)


@dataclass(frozen=True, slots=True)
class Push:
    """A call to make. `body` is the result of `from_canonical`, unchanged, also on a repeat.

    `if_version` is the last known version of the object of an update or a delete, None when the
    integration has shown none. Ask the external system to refuse the call for another version.
    """

    kind: IntentKind
    entity_type: str
    record_id: str
    external_id: str | None
    body: Mapping[str, Any] = field(repr=False)
    idempotency_key: str = ""
    if_version: str | None = None


@dataclass(frozen=True, slots=True)
class PushResult:
    """The answer to a push. `replayed`: served from the external system's idempotency cache.

    Unless the answer `shows` the object, the core fetches the object; see `unseen`.
    """

    seen: ExternalObject
    replayed: bool = False
    shows: bool = True

    @classmethod
    def unseen(
        cls, push: Push, external_id: str | None = None, *, answered_at: int | None = None
    ) -> "PushResult":
        """Return the result of a call that succeeded, and whose answer does not show the object.

        A create needs the `external_id` of the new object. After a delete the object is gone.
        """
        deleted = push.kind is IntentKind.DELETE
        seen = ExternalObject(
            push.entity_type,
            external_id or push.external_id or "",
            None if deleted else {},
            push.record_id,
            answered_at,
        )
        return cls(seen, shows=deleted)


@dataclass(frozen=True, slots=True)
class Page:
    """A page of a list; `next_cursor` is None on the last page.

    `answered_at` is needed on pages that may hold no object, which would have it.
    """

    objects: tuple[ExternalObject, ...]
    next_cursor: str | None = None
    answered_at: int | None = None


@dataclass(frozen=True, slots=True)
class Changes:
    """The next events of a feed, and the checkpoint after them.

    An event may have `occurred` None for the state as it was during the call. `checkpoint` is the
    integration's own text. `more`: more events wait after the checkpoint. `lost`: events before the
    checkpoint can no longer be read, so the core compares both sides. `answered_at` is as for an
    object. `bodies` are the JSON bodies of webhooks that the feed lists: the core checks and parses
    them as if these webhooks had arrived.
    """

    events: tuple[WebhookEvent, ...]
    checkpoint: str
    more: bool = False
    lost: bool = False
    answered_at: int | None = None
    bodies: tuple[Any, ...] = field(repr=False, default=())


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the external system accepts our credentials, and the second on its clock."""

    ok: bool
    detail: str = ""
    answered_at: int | None = None


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """A running local sandbox: its address, and the settings of a connection to it.

    `first_step` is a shell command for people to try, which creates a customer in the sandbox.
    """

    url: str
    settings: Mapping[str, Any] = field(repr=False)
    first_step: str = ""
