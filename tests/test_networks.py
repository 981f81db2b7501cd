"""Networks and hosts, as settings name them."""

import ipaddress

import pytest

from zenskar.errors import ConfigurationError
from zenskar.networks import Hosts, Networks, address_of, is_local
from zenskar.settings import load


@pytest.mark.parametrize(
    "host",
    ["localhost:8000", "LOCALHOST:8000", "127.0.0.1:8000", "127.1.2.3:8000", "[::1]:8000",
     "[::ffff:127.0.0.1]:8000"],
)  # fmt: skip
def test_local(host: str) -> None:
    assert is_local(host, 8000)


@pytest.mark.parametrize(
    "host",
    ["", "localhost", "localhost:80", "localhost:08000x", "localhost:", "evil.example:8000",
     "localhost.evil.example:8000", "127.0.0.1.nip.io:8000", "evil@localhost:8000",
     "localhost:8000, evil", "localhost:8000 ", "0.0.0.0:8000", "10.0.0.1:8000", "[::]:8000",
     "[::1:8000", "::1", "127.1:8000", "2130706433:8000", "localhost:99999", "localhost\t:8000",
     "localhost:٨٠٠٠"],
)  # fmt: skip
def test_foreign(host: str) -> None:
    assert not is_local(host, 8000)


def test_the_usual_port_need_not_be_told() -> None:
    assert is_local("localhost", 80)


@pytest.mark.parametrize(
    ("text", "address"),
    [("1.2.3.4", "1.2.3.4"), (" 1.2.3.4 ", "1.2.3.4"), ("1.2.3.4:99", "1.2.3.4"),
     ("::1", "::1"), ("[::1]:99", "::1"), ("::ffff:1.2.3.4", "1.2.3.4"), ("unknown", None),
     ("", None), ("1.2.3", None), ("1.2.3.4.5", None)],
)  # fmt: skip
def test_addresses(text: str, address: str | None) -> None:
    found = address_of(text)
    assert (str(found) if found else None) == address


@pytest.mark.parametrize(
    "address",
    ["https://a.example", "http://127.0.0.1:8000", "https://[::1]:8443", "https://a.example/b/c"],
)
def test_a_public_address_has_no_slash_at_its_end(address: str) -> None:
    for text in (address, f"{address}/", f" {address}/ "):
        assert load({"ZENSKAR_PUBLIC_URL": text}).public_url == address


def test_networks_and_hosts_are_read_from_settings() -> None:
    settings = load(
        {
            "ZENSKAR_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "ZENSKAR_ALLOWED_HOSTS": "Dev.example:81,[::2]",
        }
    )
    assert settings.trusted_proxies
    assert ipaddress.ip_address("10.9.8.7") in settings.trusted_proxies
    assert ipaddress.ip_address("::1") in settings.trusted_proxies
    assert ipaddress.ip_address("11.0.0.1") not in settings.trusted_proxies
    assert settings.allowed_hosts
    assert "dev.EXAMPLE:81" in settings.allowed_hosts
    assert "dev.example" not in settings.allowed_hosts


@pytest.mark.parametrize(
    ("name", "value"),
    [("TRUSTED_PROXIES", "10.0.0.1/8"), ("TRUSTED_PROXIES", "proxy"), ("TRUSTED_PROXIES", ","),
     ("TRUSTED_PROXIES", "10.0.0.0/8,,::1"), ("ALLOWED_HOSTS", "*"),
     ("ALLOWED_HOSTS", "http://a"), ("ALLOWED_HOSTS", "a/b"), ("ALLOWED_HOSTS", "a,"),
     ("PUBLIC_URL", "a.example"), ("PUBLIC_URL", "ftp://a.example"), ("PUBLIC_URL", "https://"),
     ("PUBLIC_URL", "https://u:p@a.example"), ("PUBLIC_URL", "https://a.example/?b=1"),
     ("PUBLIC_URL", "https://a.example/#b"), ("PUBLIC_URL", "https://a.example:99999"),
     ("PUBLIC_URL", "https://a.example/\u00e9"), ("PUBLIC_URL", "https://[::1")],
)  # fmt: skip
def test_what_is_neither_is_refused(name: str, value: str) -> None:
    with pytest.raises(ConfigurationError, match=f"ZENSKAR_{name}: "):
        load({f"ZENSKAR_{name}": value})


def test_equal_texts_are_equal_settings() -> None:
    assert Networks("::1") == Networks("::1")
    assert Hosts("a") == Hosts("a")
