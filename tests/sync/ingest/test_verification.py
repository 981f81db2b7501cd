"""Only silence of `verify_webhook` is consent."""

from typing import Any

import pytest

from tests.support.fake import FakeIntegration
from tests.support.flow import open_flow
from zenskar.errors import Unavailable


@pytest.mark.parametrize("verdict", [False, True, 0, "", "ok", ()])
async def test_anything_but_none_is_refused(
    verdict: Any, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeIntegration, "verify_webhook", lambda self, request: verdict)
    async with open_flow(database_url, working=False) as flow:
        system = flow.systems["fake"]
        system.create(name="Mallory")
        with pytest.raises(Unavailable):
            await flow.runtime.ingress.accept("fake", system.webhooks[0], "test")
        assert await flow.scalar("SELECT count(*) FROM outbox") == 0
