"""Settings come from the environment, a file, or fail with a clear error."""

from pathlib import Path

import pytest

from zenskar.errors import ConfigurationError
from zenskar.settings import environment, load, lookup, overridden


def test_defaults_need_nothing() -> None:
    settings = load({})
    assert (settings.port, settings.auth, settings.database_url) == (8000, "required", None)


def test_the_environment_is_read() -> None:
    assert load({"ZENSKAR_PORT": "9001", "ZENSKAR_LOG_LEVEL": "debug"}).port == 9001


def test_an_override_beats_the_environment() -> None:
    assert load({"ZENSKAR_PORT": "9001"}, port=9002).port == 9002


def test_every_wrong_setting_is_named_but_no_value_shown() -> None:
    wrong = {"ZENSKAR_PORT": "sk_secret_port", "ZENSKAR_RETRY_MAX_ATTEMPTS": "0"}
    with pytest.raises(ConfigurationError) as caught:
        load(wrong)
    text = str(caught.value)
    assert "ZENSKAR_PORT" in text
    assert "ZENSKAR_RETRY_MAX_ATTEMPTS" in text
    assert "sk_secret" not in text


@pytest.mark.parametrize("number", ["nan", "inf", "0", "soon"])
def test_a_duration_is_a_finite_number_above_zero(number: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^ZENSKAR_POLL_SECONDS: must be "):
        load({"ZENSKAR_POLL_SECONDS": number})


def test_an_unknown_variable_is_ignored_and_a_blank_one_is_unset() -> None:
    assert load({"ZENSKAR_NO_SUCH_SETTING": "1", "ZENSKAR_PORT": " "}) == load({})


@pytest.mark.parametrize(
    "variable",
    ["ZENSKAR_RETENTION_HISTORY_DAYS", "ZENSKAR_RETRY_MAX_SECONDS", "ZENSKAR_BREAKER_FAILURES"],
)
@pytest.mark.parametrize("number", ["9999999999999999", "9" * 5000])
def test_a_number_without_a_date_or_a_column_is_refused(variable: str, number: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^{variable}: "):
        load({variable: number})


def test_a_window_of_a_connection_without_a_date_is_refused() -> None:
    given = {"FAKE_DELETE_GUARD_WINDOW_SECONDS": "1e300"}
    with pytest.raises(ConfigurationError, match=r"^FAKE_DELETE_GUARD_WINDOW_SECONDS: must be "):
        overridden(load({}), given, "fake")


@pytest.mark.parametrize("text", [b"\xef\xbb\xbf9001\r\n", b"9001\r\n"])
def test_a_file_from_windows_is_read(tmp_path: Path, text: bytes) -> None:
    (tmp_path / "port").write_bytes(text)
    assert load({"ZENSKAR_PORT_FILE": str(tmp_path / "port")}).port == 9001


@pytest.mark.parametrize("text", ["schlüssel".encode("latin-1"), "9001".encode("utf-16")])
def test_a_file_that_is_not_utf_8_is_named_without_its_bytes(tmp_path: Path, text: bytes) -> None:
    file = tmp_path / "port"
    file.write_bytes(text)
    with pytest.raises(ConfigurationError) as caught:
        load({"ZENSKAR_PORT_FILE": str(file)})
    assert str(caught.value) == f"ZENSKAR_PORT_FILE: is not text in UTF-8: {file}"


def test_an_env_file_that_is_not_utf_8_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("ZENSKAR_HOST=käse".encode("latin-1"))
    with pytest.raises(ConfigurationError, match=r"\.env: is not text in UTF-8$"):
        environment(tmp_path)


def test_a_file_whose_name_has_a_null_byte_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ZENSKAR_PORT_FILE: has more than 100000 char"):
        load({"ZENSKAR_PORT_FILE": "/dev/zero"})
    with pytest.raises(ConfigurationError, match="ZENSKAR_PORT_FILE: embedded null byte"):
        load({"ZENSKAR_PORT_FILE": "a\0b"})


def test_an_end_of_line_is_no_part_of_a_value() -> None:
    given = {"ZENSKAR_LOG_LEVEL": "debug\r", "FAKE_API_KEY": " sk_1\r\n"}
    assert (load(given).log_level, lookup(given, "FAKE_API_KEY")) == ("debug", "sk_1")


def test_a_file_that_the_environment_names_beats_the_variable_of_an_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ZENSKAR_PORT=1\n")
    (tmp_path / "port").write_text("2\n")
    monkeypatch.setenv("ZENSKAR_PORT_FILE", str(tmp_path / "port"))
    assert load(environment(tmp_path)).port == 2


def test_a_variable_beats_its_file(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("1\n")
    given = {"ZENSKAR_PORT": "2", "ZENSKAR_PORT_FILE": str(tmp_path / "port")}
    assert load(given).port == 2


def test_a_connection_overrides_what_it_may(tmp_path: Path) -> None:
    (tmp_path / "deletes").write_text("yes\n")
    given = {"FAKE_PROPAGATE_DELETES_FILE": str(tmp_path / "deletes"), "FAKE_PORT": "1"}
    own = overridden(load({}), given, "fake")
    assert (own.propagate_deletes, own.port) == (True, 8000)


def test_auth_can_be_off_on_loopback_only() -> None:
    assert load({"ZENSKAR_AUTH": "off"}).auth == "off"
    with pytest.raises(ConfigurationError, match="loopback"):
        load({"ZENSKAR_AUTH": "off", "ZENSKAR_HOST": "0.0.0.0"})


def test_a_header_of_certificates_needs_trusted_proxies() -> None:
    given = {"ZENSKAR_CLIENT_CERTIFICATE_HEADER": "X-Client-Cert"}
    with pytest.raises(ConfigurationError, match="needs ZENSKAR_TRUSTED_PROXIES"):
        load(given)
    both = load(given | {"ZENSKAR_TRUSTED_PROXIES": "127.0.0.1"})
    assert both.client_certificate_header == "X-Client-Cert"


def test_a_secret_is_not_shown() -> None:
    settings = load({"ZENSKAR_DATABASE_URL": "postgresql://u:hunter2@h/d"})
    assert "hunter2" not in repr(settings)


def test_a_secret_is_read_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:p@h/d\n")
    settings = load({"ZENSKAR_DATABASE_URL_FILE": str(tmp_path / "url")})
    assert settings.database_url is not None
    assert settings.database_url.get_secret_value() == "postgresql://u:p@h/d"


def test_a_missing_secret_file_is_named() -> None:
    with pytest.raises(ConfigurationError, match=r"STRIPE_API_KEY_FILE.*/nowhere"):
        lookup({"STRIPE_API_KEY_FILE": "/nowhere"}, "STRIPE_API_KEY")


def test_an_empty_file_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    assert lookup({"STRIPE_API_KEY_FILE": str(tmp_path / "key")}, "STRIPE_API_KEY") is None


def test_the_process_environment_beats_the_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("ZENSKAR_PORT=1\nSTRIPE_RATE_LIMIT=7\n")
    monkeypatch.setenv("ZENSKAR_PORT", "2")
    found = environment(tmp_path)
    assert (found["ZENSKAR_PORT"], found["STRIPE_RATE_LIMIT"]) == ("2", "7")


@pytest.mark.parametrize(("timeout", "lease"), [(30.0, 30.0), (40.0, 60.0), (30.0, 59.0)])
def test_no_lease_may_end_while_its_call_is_under_way(timeout: float, lease: float) -> None:
    with pytest.raises(ConfigurationError, match="ZENSKAR_INTENT_LEASE_SECONDS must be"):
        load({}, request_timeout_seconds=timeout, intent_lease_seconds=lease)


def test_a_lease_of_twice_the_call_is_enough() -> None:
    assert load({}, request_timeout_seconds=5.0, intent_lease_seconds=10.0)


def test_kafka_must_be_given_up_before_the_request_is() -> None:
    limits = {"kafka_send_timeout_seconds": 5.0, "request_timeout_seconds": 5.0}
    with pytest.raises(ConfigurationError, match="ZENSKAR_KAFKA_SEND_TIMEOUT_SECONDS must be"):
        load({}, kafka_bootstrap_servers="127.0.0.1:9092", **limits)
    assert load({}, **limits).kafka_send_timeout_seconds == 5.0


@pytest.mark.parametrize("name", ["HISTORY", "PUSH"])
def test_what_may_come_again_is_kept_for_as_long(name: str) -> None:
    variable = f"ZENSKAR_RETENTION_{name}_DAYS"
    with pytest.raises(ConfigurationError, match=variable):
        load({variable: "30"})
    assert load({variable: "0"})
    assert load({variable: "31"})
    with pytest.raises(ConfigurationError, match=variable):
        load({variable: "40", "ZENSKAR_DELETE_GUARD_WINDOW_SECONDS": str(41 * 86_400)})
