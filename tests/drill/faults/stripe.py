"""Faults of Stripe, and of our settings for it."""

from tests.drill.fault import Fault
from tests.drill.scene import Scene
from tests.kafka.topology import API_KEY, SECRET

_EDITS, _DELETES = 12, 12
_RETRY_AFTER_SECONDS = 10


async def fail(scene: Scene) -> None:
    """Answer every call with 500."""
    await scene.fault("server_error")


async def fail_creates(scene: Scene) -> None:
    """Answer every create with 500, while all else works."""
    await scene.fault("server_error", method="POST", path_prefix="/v1/customers")


async def retry_letters(scene: Scene) -> None:
    """Wait for the end of the faults of Stripe, look at the dead letters, and retry them."""
    await scene.end_faults()
    await scene.command("dlq", "list")
    await scene.command("dlq", "retry", "--filter", "source=stripe")


async def answer_late(scene: Scene) -> None:
    """Answer every call after our time limit, with the effect of the call."""
    await scene.fault("delay", delay_seconds=2 * scene.call_seconds)


async def limit_rate(scene: Scene) -> None:
    """Answer every call with 429 and a duration."""
    await scene.fault("rate_limited", retry_after=_RETRY_AFTER_SECONDS)


async def end_faults(scene: Scene) -> None:
    """End the faults of Stripe."""
    await scene.end_faults()


async def set_wrong_key(scene: Scene) -> None:
    """Restart all processes with a key that Stripe refuses."""
    await scene.restart(STRIPE_API_KEY="sk_test_of_another_account")


async def set_right_key(scene: Scene) -> None:
    """Set the right key, restart and resume."""
    await scene.restart(STRIPE_API_KEY=API_KEY)
    await scene.command("connections", "resume", "stripe")


async def set_other_account(scene: Scene) -> None:
    """Restart all processes with credentials of an empty account, and let a person repair."""
    await scene.restart(STRIPE_API_BASE=await scene.open_other_account())
    await scene.command("reconcile", "stripe", "--repair", codes=(1,))
    scene.commands.clear()


async def set_own_account(scene: Scene) -> None:
    """Look at the connection, set the right credentials and restart."""
    (stripe,) = (await scene.command("connections", "list"))["data"]
    assert stripe["reason"] == "other_account", stripe
    await scene.restart(STRIPE_API_BASE=scene.topology.sandbox_url)


async def set_wrong_secret(scene: Scene) -> None:
    """Restart all processes with another signing secret; then customers change at Stripe."""
    await scene.restart(STRIPE_WEBHOOK_SECRET="whsec_of_another_endpoint")
    await scene.customers_at_stripe(_EDITS, "Unsigned")


async def set_right_secret(scene: Scene) -> None:
    """Set the right secret and restart; Stripe repeats its webhooks."""
    await scene.restart(STRIPE_WEBHOOK_SECRET=SECRET)


async def delete_many(scene: Scene) -> None:
    """Delete more customers at Stripe than the delete guard allows."""
    for name in await scene.customers_at_stripe(_DELETES, "Deleted"):
        await scene.at_stripe("DELETE", f"customers/{name}")


async def apply_deletes(scene: Scene) -> None:
    """Look at the held deletes, and apply them."""
    held = await scene.command("connections", "held", "stripe")
    count = str(held["total"])
    await scene.command("connections", "resume", "stripe", "--apply-deletes", count)


_SLOW = frozenset({"ZenskarCallsFail", "ZenskarOutboundSlow"})
"""The alerts of calls that wait for Stripe, and of changes that wait behind them."""
_RESTART = frozenset({"ZenskarTargetDown"})
"""The alert of a process that restarts slowly on a loaded machine."""

FAULTS = (
    Fault("Stripe answers 500", fail, alert="ZenskarConnectionOutage", end=end_faults, also=_SLOW),
    Fault(
        "Stripe refuses creates",
        fail_creates,
        alert="ZenskarDeadLetters",
        within_seconds=150,
        heal=retry_letters,
        also=_SLOW | {"ZenskarConnectionOutage"},
    ),
    Fault(
        "Stripe answers late",
        answer_late,
        alert="ZenskarConnectionOutage",
        within_seconds=150,
        end=end_faults,
        also=_SLOW,
    ),
    Fault(
        "Stripe limits the rate",
        limit_rate,
        alert="ZenskarRateLimited",
        within_seconds=150,
        end=end_faults,
        also=frozenset({"ZenskarOutboundSlow"}),
    ),
    Fault(
        "wrong API key",
        set_wrong_key,
        alert="ZenskarConnectionPaused",
        heal=set_right_key,
        also=_SLOW | _RESTART,
    ),
    Fault(
        "another account",
        set_other_account,
        alert="ZenskarConnectionPaused",
        heal=set_own_account,
        also=_SLOW | _RESTART,
    ),
    Fault(
        "wrong webhook secret",
        set_wrong_secret,
        alert="ZenskarWebhooksRefused",
        heal=set_right_secret,
        also=_RESTART,
    ),
    Fault(
        "flood of deletes",
        delete_many,
        alert="ZenskarDeleteGuard",
        heal=apply_deletes,
        also=_SLOW | {"ZenskarDeleteGuardNear"},
    ),
)
