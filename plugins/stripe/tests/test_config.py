"""Settings and their defaults."""

import pytest

from zenskar import Connection, InvalidInput
from zenskar_stripe import StripeIntegration
from zenskar_stripe.config import Config


def config(**settings: object) -> Config:
    needed = {"api_key": "sk_test_1", "webhook_secret": "whsec_1"}
    return Config.of(Connection("stripe", needed | settings))


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


@pytest.mark.parametrize("secret", ["", " ", ",", ", ,", "whsec_", "whsec_1,whsec_", None])
def test_an_empty_secret_is_refused(secret: str | None) -> None:
    with pytest.raises(InvalidInput, match=r"^STRIPE_WEBHOOK_SECRET holds no secret"):
        config(webhook_secret=secret)


@pytest.mark.parametrize("key", ["", " ", "\n", None])
def test_an_empty_key_is_refused(key: str | None) -> None:
    with pytest.raises(InvalidInput, match=r"^STRIPE_API_KEY holds no key"):
        config(api_key=key)


@pytest.mark.parametrize("key", ["sk_1\nsk_2", "sk 1", "sk_\x01", "schlüssel", "\ufeffsk_1"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(key: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        config(api_key=key)
    assert str(caught.value) == "STRIPE_API_KEY must be one word of ASCII characters"


@pytest.mark.parametrize("seconds", [0.0, -1.0])
def test_a_call_has_some_time(seconds: float) -> None:
    with pytest.raises(InvalidInput, match=r"^STRIPE_TIMEOUT_SECONDS must be above 0"):
        config(timeout_seconds=seconds)


@pytest.mark.parametrize(
    "address",
    ["http://localhost:1", "http://127.9.9.9:8420/", "http://[::1]:1", "https://proxy.example"],
)
def test_addresses_that_keep_the_key_safe(address: str) -> None:
    assert config(api_base=address).api_base == address.rstrip("/")


@pytest.mark.parametrize(
    "address",
    ["http://stripe.example", "http://10.0.0.1:8420", "HTTP://stripe.example", "http://localhost.x",
     "http://127.0.0.1.nip.io", "http://0.0.0.0:1"],
)  # fmt: skip
def test_without_tls_nothing_leaves_this_machine_unless_allowed(address: str) -> None:
    with pytest.raises(InvalidInput, match="STRIPE_ALLOW_HTTP"):
        config(api_base=address)
    assert config(api_base=address, allow_http=True).api_base == address


@pytest.mark.parametrize("address", ["stripe.example", "ftp://x", "http://", "http://[", "//x",
                                     "https://x:99999", "http://[::1]@x.example"])  # fmt: skip
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidInput, match=r"^STRIPE_API_BASE must be a URL"):
        config(api_base=address, allow_http=True)
