"""`/customers/{id}/explanation` over HTTP."""

from tests.api.http.test_auth import bearer, with_scope
from tests.support.api import UNKNOWN_ID, body_of, open_api, problem_of
from zenskar.model.scope import Scope


async def test_a_customer_is_explained_and_values_are_for_admins(database_url: str) -> None:
    async with open_api(database_url, working=True, auth="required") as api:
        record_id = await api.flow.create(name="Zarathustra", metadata={"plan": "pro"})
        await api.flow.settle()
        path = f"/customers/{record_id}/explanation"
        reader, admin = [bearer(await with_scope(api, each)) for each in (Scope.READ, Scope.ADMIN)]
        answer = await api.client.get(path, headers=reader)
        shown = await body_of(answer, 200)
        assert "Zarathustra" not in str(shown)
        assert (shown["id"], shown["version"], shown["unfinished"]) == (record_id, 1, [])
        assert shown["created_at"].endswith("Z")
        assert [each["source_system"] for each in shown["systems"]] == ["fake"]
        assert {"change", "call", "answer"} <= {step["kind"] for step in shown["steps"]}
        await problem_of(await api.client.get(f"{path}?reveal=true", headers=reader), 403)
        assert await api.flow.scalar("SELECT count(*) FROM operator_actions") == 0
        why = admin | {"X-Reason": "INC-42"}
        revealed = await body_of(await api.client.get(f"{path}?reveal=true", headers=why), 200)
        assert revealed["fields"]["/name"] == "Zarathustra"
        (noted,) = await api.flow.rows("SELECT action, target, reason FROM operator_actions")
        assert tuple(noted.values()) == ("reveal", record_id, "INC-42")
        query = "field=metadata.plan&limit=1&reveal=true"
        narrow = await body_of(await api.client.get(f"{path}?{query}", headers=admin), 200)
        assert narrow["fields"] == {"/metadata/plan": "pro"}
        await problem_of(await api.client.get(f"{path}?field=x", headers=reader), 400)
        unknown = f"/customers/{UNKNOWN_ID}/explanation"
        await problem_of(await api.client.get(unknown, headers=reader), 404)
