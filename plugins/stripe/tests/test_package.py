"""The exports of the package, and the modules that an import loads."""

import subprocess
import sys
from importlib.resources import files

import pytest

import zenskar_stripe


def test_the_sandbox_loads_no_sdk() -> None:
    code = "import sys, zenskar_stripe.sandbox; print('stripe' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_only_the_integration_is_exported() -> None:
    assert zenskar_stripe.__all__ == ["StripeIntegration"]
    assert zenskar_stripe.StripeIntegration.__name__ == "StripeIntegration"
    with pytest.raises(AttributeError, match="unknown"):
        _ = zenskar_stripe.unknown


@pytest.mark.parametrize(
    "name",
    ["py.typed", "schemas/customer.schema.json", "schemas/webhook_event.schema.json"],
)
def test_data_files_are_in_the_package(name: str) -> None:
    assert files("zenskar_stripe").joinpath(name).is_file()
