"""Settings and their defaults."""

import pytest

from zenskar import Connection
from zenskar_stripe import StripeIntegration
from zenskar_stripe.config import Config


def config(**settings: object) -> Config:
    return Config.of(Connection("stripe", settings))


def test_defaults() -> None:
    assert config(api_key="sk_test_1", webhook_secret="whsec_1") == Config(
        api_key="sk_test_1",
        webhook_secrets=("whsec_1",),
        api_base="https://api.stripe.com",
        rate=25.0,
        endpoint_rate=25.0,
        account=None,
        timeout_seconds=30.0,
        live=False,
    )


@pytest.mark.parametrize(
    ("key", "limit", "rates"),
    [
        ("sk_test_1", None, (25.0, 25.0)),
        ("rk_live_1", None, (80.0, 25.0)),
        ("opaque", None, (25.0, 25.0)),
        ("sk_live_1", 200.0, (200.0, 200.0)),
        ("sk_test_1", 0.0, (0.0, 0.0)),
        ("sk_test_1", -1.0, (0.0, 0.0)),
    ],
)
def test_rates(key: str, limit: float | None, rates: tuple[float, float]) -> None:
    found = config(api_key=key, rate_limit=limit)
    assert (found.rate, found.endpoint_rate) == rates


def test_secrets_are_told_nowhere() -> None:
    told = repr(config(api_key="sk_live_1", webhook_secret="whsec_1"))
    assert "sk_live_1" not in told
    assert "whsec_1" not in told


def test_what_is_required_and_what_is_secret() -> None:
    settings = StripeIntegration.settings
    assert {each.name for each in settings if each.required} == {"api_key", "webhook_secret"}
    assert {each.name for each in settings if each.secret} == {"api_key", "webhook_secret"}
    assert all(each.help for each in settings)
