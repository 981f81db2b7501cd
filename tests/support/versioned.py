"""An external system in memory whose objects show the time of their last change."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tests.support.fake import FakeSystem
from zenskar import ExternalObject, Interval


@dataclass
class VersionedSystem(FakeSystem):
    """Keeps the second of the last change in each object."""

    def create(self, key: str | None = None, **values: Any) -> str:
        return super().create(key, **values, changed=int(time.time()))

    def edit(self, external_id: str, key: str | None = None, **values: Any) -> None:
        super().edit(external_id, key, **{"changed": int(time.time()), **values})

    def shown(self, external_id: str, data: Mapping[str, Any] | None) -> ExternalObject:
        seen = super().shown(external_id, data)
        if data is None:
            return seen
        return replace(seen, changed_at=Interval.of_second(data["changed"]))
