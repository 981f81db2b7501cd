"""The signature and the age of a webhook, genuine and forged."""

import hashlib
import hmac
from base64 import b64encode
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenskar.errors import BadSignature
from zenskar.webhooks import split_secrets, verify_age, verify_hmac

NOW = 1_800_000_000
SECRET, BODY = "s3cret", b'{"id": 1}'


def signature(
    *parts: bytes, secret: bytes = SECRET.encode(), algorithm: str = "sha256", base64: bool = False
) -> str:
    digest = hmac.new(secret, b"".join(parts), algorithm).digest()
    return b64encode(digest).decode() if base64 else digest.hex()


GENUINE: dict[str, dict[str, Any]] = {
    "hex": {"given": signature(BODY)},
    "base64": {"given": signature(BODY, base64=True), "encoding": "base64"},
    "prefix": {"given": f"sha256={signature(BODY)}", "prefix": "sha256="},
    "sha512": {"given": signature(BODY, algorithm="sha512"), "algorithm": "sha512"},
    "one of several": {"given": ["0" * 64, signature(BODY)]},
    "generator": {"given": (each for each in [signature(BODY)])},
}
FORGED: dict[str, Any] = {
    "missing": None,
    "empty": "",
    "none": [],
    "cut": signature(BODY)[:-1],
    "longer": signature(BODY) + "0",
    "upper case": signature(BODY).upper(),
    "spaces": f" {signature(BODY)}",
    "two in one header": f"{signature(BODY)}, {signature(BODY)}",
    "not ASCII": "é" * 64,
    "lone surrogate": "\udcff",
    "NUL": f"\0{signature(BODY)}",
    "huge": "0" * 5_000_000,
    "many": ["0" * 64] * 10_000,
    "other secret": signature(BODY, secret=b"other"),
    "empty secret": signature(BODY, secret=b""),
    "first letter of the secret": signature(BODY, secret=b"s"),
    "other body": signature(b"{}"),
    "other algorithm": signature(BODY, algorithm="sha1"),
    "other encoding": signature(BODY, base64=True),
}


@pytest.mark.parametrize("options", GENUINE.values(), ids=GENUINE)
def test_a_genuine_signature(options: dict[str, Any]) -> None:
    verify_hmac(SECRET, BODY, **options)


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_forged_signature(forged: Any) -> None:
    with pytest.raises(BadSignature):
        verify_hmac(SECRET, BODY, given=forged)
    with pytest.raises(BadSignature):
        verify_hmac((SECRET, "old"), BODY, given=forged)


@settings(deadline=None)
@given(st.text(), st.text(), st.binary())
def test_only_a_bad_signature_is_raised(given: str, timestamp: str, body: bytes) -> None:
    with pytest.raises(BadSignature):
        verify_hmac(SECRET, timestamp, ".", body, given=given)


def test_the_parts_are_joined() -> None:
    verify_hmac(SECRET, str(NOW), b".", BODY, given=signature(str(NOW).encode(), b".", BODY))


@pytest.mark.parametrize("secrets", [(), "", b"", ("", b""), iter(())])
def test_without_a_secret_no_signature_matches(secrets: Any) -> None:
    for secret in (b"", SECRET.encode()):
        with pytest.raises(BadSignature):
            verify_hmac(secrets, BODY, given=signature(BODY, secret=secret))


def test_both_secrets_match_while_they_rotate() -> None:
    secrets = split_secrets(" new , old,")
    assert secrets == ("new", "old")
    for secret in (b"new", b"old"):
        verify_hmac(secrets, BODY, given=signature(BODY, secret=secret))
    with pytest.raises(BadSignature):
        verify_hmac(secrets, BODY, given=signature(BODY, secret=b"older"))


@pytest.mark.parametrize("setting", [None, "", " , "])
def test_a_setting_without_secrets(setting: str | None) -> None:
    assert split_secrets(setting) == ()


def test_a_secret_of_bytes() -> None:
    verify_hmac(b"\xff\0", BODY, given=signature(BODY, secret=b"\xff\0"))


def test_every_signature_is_compared_with_every_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the time would show which secret matches."""
    compared = []
    real = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append(a) or real(a, b))
    verify_hmac((SECRET, "old"), BODY, given=[signature(BODY), "x"])
    assert len(compared) == 4


@pytest.mark.parametrize(
    ("timestamp", "unit", "second"),
    [(str(NOW), "s", NOW), (f"{NOW}999", "ms", NOW), (str(NOW - 300), "s", NOW - 300)],
)
def test_the_second_in_which_a_webhook_was_sent(timestamp: str, unit: Any, second: int) -> None:
    assert verify_age(timestamp, NOW, unit=unit) == second


@pytest.mark.parametrize(
    "timestamp",
    [None, "", "now", "-1", "1.0", "1_8", " 1", "1\n", "١٨", "9" * 5000, "\udcff", "0x1", "1e9"],
)
@pytest.mark.parametrize("unit", ["s", "ms"])
def test_a_timestamp_that_is_no_number(timestamp: str | None, unit: Any) -> None:
    with pytest.raises(BadSignature, match="number"):
        verify_age(timestamp, NOW, unit=unit)


@pytest.mark.parametrize("at", [NOW - 301, NOW + 301, 0.0, float("nan"), float("inf")])
def test_a_webhook_of_another_time(at: float) -> None:
    with pytest.raises(BadSignature, match="300 are allowed"):
        verify_age(str(NOW), at)


def test_the_allowed_age_can_be_changed() -> None:
    verify_age(str(NOW), NOW + 9, seconds=10)
    with pytest.raises(BadSignature, match="11 seconds before our time, 10 are allowed"):
        verify_age(str(NOW), NOW + 11, seconds=10)


def test_the_default_is_sha256() -> None:
    assert signature(BODY) == hmac.new(SECRET.encode(), BODY, hashlib.sha256).hexdigest()
