"""An external system in memory whose objects are merged by people."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.fake import FakeSystem
from zenskar import ExternalObject


@dataclass
class MergingSystem(FakeSystem):
    """Reports an object that was merged with its successor, which has been known as `merged`.

    If it `redirects`, a push to a merged object changes the successor.
    """

    merged: dict[str, str] = field(default_factory=dict)
    redirects: bool = False

    def merge(self, external_id: str, successor: str) -> None:
        known = self.objects[external_id]
        assert known is not None
        self.merged[external_id] = successor
        self.objects[external_id] = {**known, "merged_into": successor}
        self.delete(external_id)

    def shown(self, external_id: str, data: Mapping[str, Any] | None) -> ExternalObject:
        seen = super().shown(external_id, data)
        return replace(seen, merged_into=self.merged.get(external_id)) if data is None else seen

    def target(self, external_id: str) -> str:
        if not self.redirects:
            return external_id
        while external_id in self.merged:
            external_id = self.merged[external_id]
        return external_id
