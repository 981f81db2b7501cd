"""The declarations of a plugin are checked before the core uses the plugin."""

from datetime import timedelta
from typing import Any

import pytest

from zenskar import BaseIntegration, CallLimit, Setting
from zenskar.plugins import declaration_problems


def kind(**declared: Any) -> type[BaseIntegration]:
    return type("Declared", (BaseIntegration,), declared)


async def hook(self: BaseIntegration, **_: Any) -> None:
    """A hook that has to be awaited."""


def test_what_is_declared_well_has_no_problem() -> None:
    good = kind(settings=(Setting("api_key"),), idempotency_key_lifetime=timedelta(hours=1))
    assert declaration_problems.find_problem("my_dash", good) is None


@pytest.mark.parametrize("name", ["my-dash", "My", "1st", "", "mine.too", "ä", "a" * 64, "a b"])
def test_a_name_that_no_shell_can_export_is_refused(name: str) -> None:
    assert "lower-case letters" in str(declaration_problems.find_problem(name, kind()))


@pytest.mark.parametrize(
    ("declared", "told"),
    [
        ({"plugin_api": 99}, "API 99"),
        ({"entities": "customer"}, "`entities`"),
        ({"entities": ()}, "no entity type"),
        ({"entities": (3,)}, "`entities`"),
        ({"limits": "customer"}, "`limits`"),
        ({"limits": {"invoice": "invoice.limits"}}, "'invoice'"),
        ({"settings": None}, "`settings`"),
        ({"settings": ({"name": "api_key"},)}, "`settings`"),
        ({"settings": (Setting("api-key"),)}, "'api-key'"),
        ({"settings": (Setting("key"), Setting("key"))}, "twice"),
        ({"clock_tolerance": 2}, "timedelta"),
        ({"idempotency_key_lifetime": 86_400}, "timedelta"),
        ({"verify_webhook": hook}, "coroutine function: verify_webhook"),
        ({"answer_challenge": hook}, "coroutine function: answer_challenge"),
        ({"webhook_methods": "POST"}, "`webhook_methods`"),
        ({"webhook_methods": ()}, "`webhook_methods`"),
        ({"webhook_items": 1}, "`webhook_items`"),
        ({"webhook_methods": ("POST", "PUT")}, "GET and POST"),
        ({"parse_webhook": hook}, "`touched`"),
        ({"poll_every": 60}, "`poll_every`"),
        ({"poll_every": timedelta()}, "`poll_every`"),
        ({"deletes_are_final": "never"}, "`deletes_are_final`"),
        ({"missed_events": hook}, "use `changes`"),
        ({"fetch_many_limit": 0}, "`fetch_many_limit`"),
        ({"push_many_limit": 1.5}, "`push_many_limit`"),
        ({"call_limits": CallLimit(calls=1, seconds=1)}, "`call_limits`"),
        ({"call_limits": (CallLimit(calls=0, seconds=1),)}, "above 0"),
        ({"call_limits": (CallLimit(calls=1.5, seconds=1),)}, "above 0"),  # type: ignore[arg-type]
        ({"call_limits": (CallLimit(calls=1, seconds=0.01),)}, "0.1 s or more"),
        ({"call_limits": (CallLimit("a b", calls=1, seconds=1),)}, "lower-case"),
        ({"call_limits": (CallLimit(calls=1, seconds=1, hooks=("health",)),)}, "'health'"),
        ({"call_limits": (CallLimit(calls=1, seconds=1),) * 2}, "two limits"),
        ({"usage": lambda _self: []}, "no `call_limits`"),
        ({"to_canonical": hook, "classify_error": hook}, "to_canonical, classify_error"),
    ],
)
def test_what_cannot_work_is_named(declared: dict[str, Any], told: str) -> None:
    assert told in str(declaration_problems.find_problem("mine", kind(**declared)))
