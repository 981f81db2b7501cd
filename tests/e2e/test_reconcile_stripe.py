"""A reconcile against a local Stripe applies every change without a webhook."""

import dataclasses

from sqlalchemy import text

from tests.e2e.stack import API_KEY, SECRET, Stack, open_stack
from zenskar.sync.reconcile.report import Report
from zenskar_stripe.sandbox import StripeSandbox


async def reconcile(stack: Stack, *, repair: bool = False) -> Report:
    runtime = stack.runtime
    factory = runtime.operations()
    return await factory.reconciler(settle_seconds=0).run("stripe", "customer", repair=repair)


async def test_drift_of_every_kind_is_found_and_mended(database_url: str) -> None:
    async with (
        StripeSandbox(api_key=API_KEY, webhook_retry_base=0.05) as stripe,
        open_stack(database_url, stripe.base_url) as zenskar,
    ):
        endpoint = stripe.add_webhook_endpoint(zenskar.webhook_url, SECRET)
        for number in range(100):
            stripe.dashboard.create({"name": f"Other {number}"})
        made = [await zenskar.create(name=f"Customer {number}") for number in range(5)]
        external = {row["name"]: await zenskar.external_id(row["id"]) for row in made}
        await stripe.settle()
        await zenskar.settled()
        clean = await reconcile(zenskar)
        assert (clean.complete, clean.objects, dict(clean.found)) == (True, 105, {})

        stripe.remove_webhook_endpoint(endpoint.id)
        stripe.dashboard.update(external["Customer 1"], {"email": "there@example.com"})
        stripe.dashboard.delete(external["Customer 2"])
        new = stripe.dashboard.create({"name": "Grace", "email": "grace@example.com"})
        async with zenskar.runtime.engine.begin() as db:
            await db.execute(text("UPDATE customers SET phone = '+91 1' WHERE name = 'Customer 3'"))
        found = await reconcile(zenskar)
        assert dict(found.found) == {"different": 2, "missing_there": 1, "missing_here": 1}
        assert {example.external_id for example in found.examples} == {
            external["Customer 1"],
            external["Customer 2"],
            external["Customer 3"],
            new["id"],
        }

        repaired = await reconcile(zenskar, repair=True)
        assert (repaired.complete, dict(repaired.remaining)) == (True, {})
        assert dict(repaired.found) == dict(found.found)
        assert (await zenskar.customer(made[1]["id"]))["email"] == "there@example.com"
        await zenskar.gone(made[2]["id"])
        assert stripe.dashboard.retrieve(external["Customer 3"])["phone"] == "+91 1"
        assert (await zenskar.named("grace@example.com"))["name"] == "Grace"
        assert len(stripe.dashboard.living()) == 105
        again = await reconcile(zenskar)
        assert dataclasses.asdict(again) | {"objects": 105} == dataclasses.asdict(clean)
