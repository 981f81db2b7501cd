"""An external system in memory that shows versions and refuses writes to another version."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.fake import FakeError, FakeSystem
from zenskar import ExternalObject, FailureKind, Interval, Push


@dataclass
class VersionedSystem(FakeSystem):
    """Keeps a version and the second of the last change in each object.

    `refused` are the pushes to objects of another version, and `overwritten` the values that a push
    replaced. With `always_refuses` no version is ever the right one.
    """

    refused: list[Push] = field(default_factory=list)
    overwritten: list[Any] = field(default_factory=list)
    always_refuses: bool = False

    def create(self, key: str | None = None, **values: Any) -> str:
        return super().create(key, **values, version=1, changed=int(time.time()))

    def edit(self, external_id: str, key: str | None = None, **values: Any) -> None:
        marks = {"version": self.version(external_id) + 1, "changed": int(time.time())}
        super().edit(external_id, key, **marks | values)

    def version(self, external_id: str) -> int:
        """Return the version of a living object."""
        known = self.objects[external_id]
        assert known is not None
        return int(known["version"])

    def shown(self, external_id: str, data: Mapping[str, Any] | None) -> ExternalObject:
        seen = super().shown(external_id, data)
        if data is None or "version" not in data:
            return seen
        changed_at = Interval.of_second(data["changed"])
        return replace(seen, changed_at=changed_at, version=f"v{data['version']}")

    def check(self, push: Push, known: Mapping[str, Any]) -> None:
        stale = push.if_version not in {None, f"v{known['version']}"}
        if stale or self.always_refuses:
            self.refused.append(push)
            raise FakeError(FailureKind.STALE_VERSION)
        self.overwritten += [known[name] for name in push.body if known.get(name)]
