"""Writes that name items of an older state, which the conformance kit does not know."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from zenskar import Change, Connection, FailureKind, IntentKind, Push
from zenskar.http import HttpError
from zenskar_cardfile import CardfileIntegration

from .cardfile import Cardfile


@pytest.fixture
async def cardfile() -> AsyncIterator[Cardfile]:
    async with Cardfile() as running:
        yield running


@pytest.fixture
async def integration(cardfile: Cardfile) -> AsyncIterator[CardfileIntegration]:
    opened = CardfileIntegration(Connection("cardfile", cardfile.settings))
    yield opened
    await opened.close()


@pytest.mark.parametrize(
    ("before", "meanwhile"),
    [({}, {"phone": "2"}), ({"phone": "1"}, {"phone": None})],
    ids=["another item of the kind", "no item of this id"],
)
async def test_items_of_an_older_state_are_refused(
    integration: CardfileIntegration,
    cardfile: Cardfile,
    before: dict[str, Any],
    meanwhile: dict[str, Any],
) -> None:
    card = cardfile.add("Ada", **before)
    seen = await integration.fetch("customer", card)
    cardfile.edit(card, **meanwhile)
    change = Change(IntentKind.UPDATE, "customer", "rec_1", {"phone": "3"}, {}, seen.memo)
    body = integration.from_canonical(change)
    with pytest.raises(HttpError) as refused:
        await integration.push(Push(IntentKind.UPDATE, "customer", "rec_1", card, body))
    failure = integration.classify_error(refused.value)
    assert failure is not None
    assert failure.kind is FailureKind.STALE_VERSION
    assert cardfile.item(card, "phone") == meanwhile["phone"]
