"""The address of an external system."""

from typing import Any

import pytest

from zenskar.errors import InvalidInput
from zenskar.http import Client, base_address


@pytest.mark.parametrize(
    "text",
    [
        "https://crm.example",
        " https://crm.example/v3/ ",
        "https://crm.example:8443",
        "http://localhost:1",
        "http://127.9.9.9",
        "http://[::1]:1/api",
    ],
)
def test_an_address_that_keeps_the_credentials_safe(text: str) -> None:
    assert base_address(text) == text.strip().rstrip("/")


@pytest.mark.parametrize(
    "text",
    [
        "http://crm.example",
        "HTTP://crm.example",
        "http://10.0.0.1:80",
        "http://localhost.example",
        "http://127.0.0.1.nip.io",
        "http://0.0.0.0:1",
    ],
)
def test_an_address_without_tls(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^API_BASE sends .* use https://, or else$"):
        base_address(text, name="API_BASE", hint=", or else")
    assert base_address(text, allow_http=True) == text
    with pytest.raises(InvalidInput):
        Client(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        7,
        "crm.example",
        "//crm.example",
        "ftp://crm.example",
        "https://",
        "https://[",
        "https://crm.example:99999",
        "https://crm.example:x",
        "https://user:pass@crm.example",
        "https://127.0.0.1@crm.example",
        "https://crm.example?a=b",
        "https://crm.example/#a",
        "https://crm.example\\@evil.example",
        "https://crm.example /",
        "https://crm.exam\nple",
        "https://crm.éxample",
    ],
)
def test_a_text_that_is_no_address(text: Any) -> None:
    with pytest.raises(InvalidInput, match=r"^API_BASE must be a URL"):
        base_address(text, name="API_BASE", allow_http=True)
