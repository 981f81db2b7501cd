"""`POST /customers/{id}/erase`."""

from tests.support.api import UNKNOWN_ID, Api, body_of


async def test_a_customer_is_erased(api: Api) -> None:
    made = await api.create(name="Zarathustra Quux")
    found = await body_of(await api.client.post(f"/customers/{made['id']}/erase"), 200)
    assert found["id"] == made["id"]
    assert found["erased_at"]
    assert found["rows"]["customers"] == 1
    assert (await api.flow.record(made["id"]))["name"] is None
    await body_of(await api.client.get(f"/customers/{made['id']}"), 404)
    await body_of(await api.client.post(f"/customers/{UNKNOWN_ID}/erase"), 404)
    await body_of(await api.client.post("/customers/none/erase"), 404)


async def test_a_dry_run_erases_nothing(api: Api) -> None:
    made = await api.create(name="Zarathustra Quux")
    path = f"/customers/{made['id']}/erase?dry_run=true"
    found = await body_of(await api.client.post(path), 200)
    assert (found["dry_run"], found["rows"]["customers"]) == (True, 1)
    assert (await api.flow.record(made["id"]))["name"] == "Zarathustra Quux"
    assert await api.flow.scalar("SELECT count(*) FROM operator_actions") == 0
