"""The settings of a connection are read from its own variables."""

import pytest

from zenskar.errors import ConfigurationError
from zenskar.model.integration import Setting
from zenskar.plugins.connection_settings import read_value

SECONDS = Setting("seconds", kind=float, default=30.0, help="A limit.")


def test_a_value_has_the_type_of_its_setting() -> None:
    assert read_value("fake", SECONDS, {"FAKE_SECONDS": "0.5"}) == 0.5
    assert read_value("fake", SECONDS, {}) == 30.0


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "9" * 5000, "soon"])
def test_a_number_is_finite(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^FAKE_SECONDS must be of type float$"):
        read_value("fake", SECONDS, {"FAKE_SECONDS": text})
