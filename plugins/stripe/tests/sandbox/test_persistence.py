"""The data that survives a restart."""

import asyncio
import os
import sqlite3

import pytest
import stripe

from zenskar_stripe.sandbox import Fault, FaultKind, StoreError, StripeSandbox


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sandbox.db"


async def test_customers_events_and_tombstones(path, connect):
    async with StripeSandbox(store_path=path) as sandbox:
        v1 = connect(sandbox)
        made = [(await v1.customers.create_async({"name": str(n)})).id for n in range(4)]
        await v1.customers.update_async(made[0], {"name": "new", "email": "a@example.com"})
        await v1.customers.delete_async(made[2])
        events = [each.to_dict() for each in (await v1.events.list_async()).data]
        listed = [each.to_dict() for each in (await v1.customers.list_async()).data]
    async with StripeSandbox(store_path=path) as sandbox:
        v1 = connect(sandbox)
        assert [each.to_dict() for each in (await v1.events.list_async()).data] == events
        page = await v1.customers.list_async()
        assert [each.to_dict() for each in page.data] == listed
        assert [each["id"] for each in listed] == [made[3], made[1], made[0]]
        assert (await v1.customers.retrieve_async(made[2])).to_dict() == {
            "id": made[2],
            "object": "customer",
            "deleted": True,
        }
        page = await v1.customers.list_async({"starting_after": made[2]})
        assert [each.id for each in page.data] == [made[1], made[0]]
        page = await v1.customers.list_async({"email": "a@example.com"})
        assert [each.id for each in page.data] == [made[0]]
        found = await v1.customers.search_async({"query": "email:'a@example.com'"})
        assert [each.id for each in found.data] == [made[0]]


async def test_ids_do_not_repeat(path, connect):
    seen = []
    for _ in range(3):
        async with StripeSandbox(store_path=path) as sandbox:
            await connect(sandbox).events.list_async()
            seen += [call.request_id for call in sandbox.requests]
            seen.append(sandbox.dashboard.create({})["id"])
    assert len(set(seen)) == 6


async def test_answers_of_keys(path, connect):
    options = {"idempotency_key": "k"}
    async with StripeSandbox(store_path=path) as sandbox:
        first = await connect(sandbox).customers.create_async({"name": "x"}, options)
        sandbox.faults.add(Fault(kind=FaultKind.SERVER_ERROR))
        with pytest.raises(stripe.APIError):
            await connect(sandbox).customers.create_async({"name": "y"}, {"idempotency_key": "l"})
    async with StripeSandbox(store_path=path) as sandbox:
        v1 = connect(sandbox)
        assert (await v1.customers.create_async({"name": "x"}, options)).id == first.id
        with pytest.raises(stripe.IdempotencyError):
            await v1.customers.create_async({"name": "z"}, options)
        with pytest.raises(stripe.APIError):
            await v1.customers.create_async({"name": "y"}, {"idempotency_key": "l"})


async def test_pending_deliveries_are_retried(path, hooks, connect):
    hook = await hooks()
    async with StripeSandbox(store_path=path, webhook_retry_base=60) as sandbox:
        sandbox.add_webhook_endpoint(hook.url, hook.secret)
        hook.receiver.answers.append(500)
        sandbox.dashboard.create({"name": "x"})
        await hook.receiver.wait_for(1)
    async with StripeSandbox(store_path=path) as sandbox:
        await hook.receiver.wait_for(2)
        await sandbox.settle()
        first, second = hook.receiver.received
        assert first.body == second.body
        page = await connect(sandbox).events.list_async({"delivery_success": False})
        assert page.data == []
    async with StripeSandbox(store_path=path) as sandbox:
        await sandbox.settle()
        assert len(hook.receiver.received) == 2


async def test_a_delivery_in_flight_at_stop_is_pending(path, hooks):
    hook = await hooks()
    hook.receiver.gate = gate = asyncio.Event()
    async with StripeSandbox(store_path=path) as sandbox:
        sandbox.add_webhook_endpoint(hook.url, hook.secret)
        sandbox.dashboard.create({"name": "x"})
        await hook.receiver.wait_for(1)
    gate.set()
    async with StripeSandbox(store_path=path) as sandbox:
        await sandbox.settle()
    assert hook.receiver.names == ["x", "x"]


async def test_a_delivery_that_was_given_up_stays_given_up(path, hooks, connect):
    hook = await hooks()
    async with StripeSandbox(store_path=path, webhook_max_attempts=1) as sandbox:
        sandbox.add_webhook_endpoint(hook.url, hook.secret)
        hook.receiver.answers.append(500)
        sandbox.dashboard.create({"name": "x"})
        await sandbox.settle()
    async with StripeSandbox(store_path=path) as sandbox:
        await sandbox.settle()
        assert len(hook.receiver.received) == 1
        page = await connect(sandbox).events.list_async({"delivery_success": False})
        assert len(page.data) == 1


async def test_a_removed_endpoint_stays_removed(path):
    async with StripeSandbox(store_path=path) as sandbox:
        kept = sandbox.add_webhook_endpoint("http://127.0.0.1:1/a", "s", ["customer.deleted"])
        gone = sandbox.add_webhook_endpoint("http://127.0.0.1:1/b", "s")
        sandbox.remove_webhook_endpoint(gone.id)
    async with StripeSandbox(store_path=path) as sandbox:
        assert sandbox.webhook_endpoints() == [kept]


async def test_cleared_data_stays_cleared(path, connect):
    async with StripeSandbox(store_path=path) as sandbox:
        sandbox.dashboard.create({})
        await sandbox.clear()
    async with StripeSandbox(store_path=path) as sandbox:
        v1 = connect(sandbox)
        assert (await v1.customers.list_async()).data == []
        assert (await v1.events.list_async()).data == []


async def test_an_effect_is_stored_whole_or_not_at_all(path, connect):
    async with StripeSandbox(store_path=path) as sandbox:
        await connect(sandbox).customers.create_async({"name": "x"}, {"idempotency_key": "k"})
    with sqlite3.connect(path) as db:
        kinds = sorted(kind for (kind,) in db.execute("SELECT kind FROM records"))
    db.close()
    assert kinds == ["account", "answer", "boots", "customer", "event"]


async def test_one_file_serves_one_sandbox(path):
    async with StripeSandbox(store_path=path):
        with pytest.raises(StoreError, match=r"cannot use the store .*locked"):
            await StripeSandbox(store_path=path).start()


@pytest.mark.parametrize("content", [b"this is not a database, it is a text" * 100])
async def test_a_file_that_is_no_store(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError, match="not a database"):
        await StripeSandbox(store_path=path).start()


async def test_memory_forgets(connect):
    async with StripeSandbox() as sandbox:
        sandbox.dashboard.create({})
    async with StripeSandbox() as sandbox:
        assert (await connect(sandbox).customers.list_async()).data == []


@pytest.mark.parametrize("mask", [0o000, 0o022])
async def test_its_files_are_the_owners_alone(tmp_path, mask):
    path = tmp_path / "store.db"
    before = os.umask(mask)
    try:
        for _ in range(2):
            async with StripeSandbox(store_path=path) as sandbox:
                sandbox.dashboard.create({"name": "Ada"})
                modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
            assert set(modes.values()) == {0o600}
            assert "store.db" in modes
            path.chmod(0o644)
    finally:
        os.umask(before)
