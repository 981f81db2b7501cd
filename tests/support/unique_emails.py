"""A fake system that refuses a second object with an e-mail address."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.support.fake import FakeError, FakeSystem
from zenskar import FailureKind


@dataclass
class UniqueEmails(FakeSystem):
    """Refuses a second object with an e-mail address, and names the first one."""

    names_it: bool = True

    def create(self, key: str | None = None, **values: Any) -> str:
        for external_id, data in self.objects.items():
            if data is not None and _key(data) == _key(values):
                named = external_id if self.names_it else None
                raise FakeError(FailureKind.EXISTS, external_id=named)
        return super().create(key, **values)


def _key(values: Mapping[str, Any]) -> str:
    return str(values.get("email")).strip().lower()
