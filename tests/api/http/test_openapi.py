"""The description of the API says what the router does, both ways."""

import re
from pathlib import Path

from jsonschema import Draft202012Validator

import zenskar.api.resources
from tests.support.api import ADA, Api, body_of
from zenskar.api.app import create_app, resources
from zenskar.api.http.routes import ROUTES

RESOURCES = Path(zenskar.api.resources.__file__).parent
TESTS = Path(__file__).parents[1] / "resources"


async def described(api: Api) -> dict[str, object]:
    return await body_of(await api.client.get("/openapi.json"), 200)


async def test_every_route_is_described_and_every_description_routed(api: Api) -> None:
    entries = create_app(api.services)[ROUTES].values()
    routed = {(route.method, route.path) for route in filter(None, entries)}
    paths = (await described(api))["paths"]
    named = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert named == routed
    assert len(named) > 50


def defining_routes() -> set[str]:
    """Return the modules of the resources of the API."""
    return {p.stem for p in RESOURCES.glob("*.py") if "def routes(" in p.read_text("utf-8")}


async def test_every_resource_is_named(api: Api) -> None:
    named = {type(each).__module__.rpartition(".")[2] for each in resources(api.services)}
    assert defining_routes() - named == set()


def test_every_resource_has_a_module_of_tests() -> None:
    """Those of the probes are in `tests/api/test_health.py`."""
    tested = {p.stem.removeprefix("test_") for p in TESTS.glob("test_*.py")}
    assert defining_routes() - tested == {"probes"}


async def test_every_reference_leads_somewhere(api: Api) -> None:
    document = await described(api)
    names = document["components"]["schemas"].keys()
    references = set(re.findall(r"'\$ref': '([^']+)'", str(document)))
    assert references
    assert {r.removeprefix("#/components/schemas/") for r in references} <= names


async def test_every_schema_is_one(api: Api) -> None:
    document = await described(api)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


async def test_answers_are_as_described(api: Api) -> None:
    document = await described(api)
    created = await api.create(address={"city": "Paris"}, metadata={"a": "1"})
    one = await body_of(await api.client.get(f"/customers/{created['id']}"), 200)
    event = (await body_of(await api.client.get("/sync-events"), 200))["data"][0]
    answers = {
        "CustomerInput": ADA,
        "Customer": one,
        "CustomerPage": await body_of(await api.client.get("/customers"), 200),
        "SyncEventPage": await body_of(await api.client.get("/sync-events"), 200),
        "SyncEventWithHistory": await body_of(
            await api.client.get(f"/sync-events/{event['id']}"), 200
        ),
        "ConnectionList": await body_of(await api.client.get("/connections"), 200),
        "Health": await body_of(await api.client.get("/health/ready"), 200),
        "Problem": await body_of(await api.client.get("/customers/x"), 404),
    }
    for name, answer in answers.items():
        root = {**document, "$ref": f"#/components/schemas/{name}"}
        assert not list(Draft202012Validator(root).iter_errors(answer)), name


async def test_what_is_public_is_said(api: Api) -> None:
    paths = (await described(api))["paths"]
    assert paths["/webhooks/{source}"]["post"]["security"] == []
    assert paths["/customers"]["post"]["security"] == [{"key": ["write"]}]
    operations = [o["operationId"] for methods in paths.values() for o in methods.values()]
    assert len(operations) == len(set(operations))
