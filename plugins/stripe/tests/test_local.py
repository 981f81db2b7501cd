"""The sandbox of `zenskar dev`."""

import stat
from pathlib import Path

from zenskar import Change, Connection, IntentKind, Push
from zenskar_stripe import StripeIntegration
from zenskar_stripe.local import credentials


async def make(settings: object) -> str:
    stripe = StripeIntegration(Connection("stripe", dict(settings)))  # type: ignore[call-overload]
    change = Change(IntentKind.CREATE, "customer", "rec_1", {"name": "Ada"}, {})
    await stripe.open()
    try:
        body = stripe.from_canonical(change)
        made = await stripe.push(Push(IntentKind.CREATE, "customer", "rec_1", None, body, "key_1"))
        return made.seen.external_id
    finally:
        await stripe.close()


async def test_customers_and_credentials_outlive_a_restart(tmp_path: Path) -> None:
    found = []
    for port in (1, 2):
        running = StripeIntegration.sandbox(tmp_path / "data", f"http://127.0.0.1:{port}/")
        assert running is not None
        async with running as info:
            assert info.settings["api_base"] == info.url
            found.append((await make(info.settings), info.settings["webhook_secret"]))
    assert found[0] == found[1]


def test_credentials_are_for_the_owner_only(tmp_path: Path) -> None:
    made = credentials(tmp_path)
    (kept,) = tmp_path.iterdir()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert made["api_key"].startswith("sk_test_")
    assert len(made["webhook_secret"]) > 30
    assert credentials(tmp_path) == made
    assert credentials(tmp_path / "other") != made
