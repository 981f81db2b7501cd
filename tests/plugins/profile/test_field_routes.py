"""The routes of a profile translate in both directions."""

from collections.abc import Mapping
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from zenskar.model.coverage import Coverage
from zenskar.model.fields import CUSTOMER, EntityShape, apply, difference, flatten
from zenskar.plugins.profile.field_routes import FieldRoutes
from zenskar.plugins.profile.route_compiler import RouteCompiler

MEMBERS = ("line1", "line2", "city", "state", "postal_code", "country")
ADDRESS = tuple(f"/address/{name}" for name in MEMBERS)
TEXTS = ("/name", "/email", "/phone", *(f"/metadata/{key}" for key in "abcdef"))
PARTS = (*TEXTS, *ADDRESS)


def compiled(shape: EntityShape = CUSTOMER, **section: Any) -> FieldRoutes:
    compiler = RouteCompiler(section, shape)
    routes = compiler.compile()
    assert compiler.problems == []
    return routes


def routes_of(fields: Mapping[str, Any], **more: Any) -> FieldRoutes:
    return compiled(fields=fields, **more)


RENAMED = routes_of({"/metadata/plan": {"there": "/metadata/tier"}})
FROM_PHONE = routes_of({"/metadata/mobile": {"there": "/phone"}})
NESTED = routes_of({"/metadata/town": {"there": "/address/city"}})
FLAT = routes_of({f"/address/{name}": {"there": f"/metadata/{name}"} for name in MEMBERS})


def test_a_part_has_another_name_there() -> None:
    shown = RENAMED.show({"name": "Ada", "metadata": {"tier": "gold", "plan": "?", "x": "y"}})
    assert shown.fields == {"/name": "Ada", "/metadata/plan": "gold", "/metadata/x": "y"}
    patch = RENAMED.patch({"/metadata/plan": "pro"}, {"/metadata/plan": "pro"}, creates=False)
    assert patch == {"metadata": {"tier": "pro"}}
    assert RENAMED.patch({}, {"/metadata/plan": None}, creates=False) == {
        "metadata": {"tier": None}
    }


def test_a_part_moves_into_an_address_which_is_pushed_as_a_whole() -> None:
    record = {"/address": {"line1": "A 1", "city": "here"}, "/metadata/town": "Bonn"}
    patch = NESTED.patch(record, {"/metadata/town": "Bonn"}, creates=False)
    assert patch == {"address": {"line1": "A 1", "city": "Bonn"}}
    shown = NESTED.show({"address": {"line1": "A 1", "city": "Bonn"}})
    assert shown.fields == {"/address": {"line1": "A 1"}, "/metadata/town": "Bonn"}
    assert NESTED.coverage.of(record) == shown.fields


def test_an_address_is_made_of_keys_there() -> None:
    record = {"/address": {"line1": "A 1", "city": "Bonn"}}
    document = FLAT.document(record, creates=True)
    assert document["metadata"] == {"line1": "A 1", "city": "Bonn"}
    assert document["address"] is None
    assert FLAT.show(document).fields == record


def test_a_part_is_not_seen_without_its_place() -> None:
    shown = FROM_PHONE.show({"phone": "1"})
    assert shown.fields == {"/metadata/mobile": "1"}
    assert not shown.hides("/metadata/mobile")
    assert shown.hides("/metadata/other")
    assert shown.hides("/name")
    shown = FROM_PHONE.show({"metadata": {"other": "x"}})
    assert shown.fields == {"/metadata/other": "x"}
    assert shown.hides("/metadata/mobile")
    assert not shown.hides("/metadata/gone")


def test_an_address_is_seen_with_all_its_places_only() -> None:
    moved = {"/address/city": {"there": "/phone"}, "/metadata/c": {"there": "/address/city"}}
    shown = routes_of(moved).show({"address": {"line1": "A 1", "city": "x"}})
    assert shown.hides("/address")
    assert shown.fields == {"/metadata/c": "x"}
    assert not shown.hides("/metadata/c")


def test_a_default_stands_for_no_value_on_its_side() -> None:
    routes = routes_of(
        {"/phone": {"default_there": "n/a"}, "/metadata/plan": {"default_here": "free"}}
    )
    pushed = routes.patch({"/metadata/plan": "free"}, {}, creates=True)
    assert pushed == {"phone": "n/a"}
    assert routes.show({"phone": "n/a", "metadata": {}}).fields == {"/metadata/plan": "free"}
    assert routes.show({"phone": "n/a"}).fields == {}
    assert routes.patch({}, {"/phone": None}, creates=False) == {"phone": "n/a"}


def test_constants_are_written_once() -> None:
    constants = {"there": {"/metadata/origin": "us"}, "here": {"/metadata/source": "crm"}}
    routes = compiled(constants=constants)
    record = {"/name": "Ada", "/metadata/source": "x", "/metadata/origin": "y"}
    assert routes.coverage.of(record) == {"/name": "Ada"}
    assert routes.patch({"/name": "Ada"}, {}, creates=True) == {
        "name": "Ada",
        "metadata": {"origin": "us"},
    }
    assert routes.patch({"/name": "Eve"}, {"/name": "Eve"}, creates=False) == {"name": "Eve"}
    shown = routes.show({"name": "Ada", "metadata": {"origin": "them", "source": "them"}})
    assert shown.fields == {"/name": "Ada"}
    assert routes.with_constants(shown.fields) == {"/name": "Ada", "/metadata/source": "crm"}


def test_a_field_is_only_pushed_or_only_taken() -> None:
    routes = routes_of(
        {
            "/phone": {"direction": "out"},
            "/email": {"direction": "in"},
            "/metadata": {"direction": "out"},
            "/metadata/plan": {"direction": "both"},
        }
    )
    shown = routes.show({"phone": "1", "email": "e", "metadata": {"plan": "p", "x": "y"}})
    assert shown.fields == {"/email": "e", "/metadata/plan": "p"}
    assert shown.hides("/phone")
    assert shown.hides("/metadata/x")
    assert not shown.hides("/metadata/plan")
    record = {"/phone": "2", "/email": "f", "/metadata/plan": "q", "/metadata/x": "z"}
    pushed = routes.coverage.pushed(record, {"/email": "e"})
    assert pushed == record | {"/email": "e"}
    assert "/email" not in routes.coverage.pushed(record, {})
    assert routes.written(record) == {"phone": "2", "metadata": {"plan": "q", "x": "z"}}


def test_the_origin_of_a_place_is_that_of_its_part() -> None:
    assert RENAMED.origins(("/metadata/tier", "/name")) == ("/metadata/plan", "/name")
    assert RENAMED.origins(("",)) == ("", "/metadata/plan")
    assert NESTED.origins(("/address",)) == ("/address", "/metadata/town")
    assert FROM_PHONE.origins(("/phone",)) == ("/metadata/mobile",)


VALUE = st.text("xyz", min_size=1, max_size=2)
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "name": VALUE,
        "email": VALUE,
        "phone": VALUE,
        "address": st.dictionaries(st.sampled_from(MEMBERS), VALUE),
        "metadata": st.dictionaries(st.sampled_from([*"abcdefgh"]), VALUE),
    },
)


@st.composite
def profiles(draw: st.DrawFn) -> FieldRoutes:
    """Draw a profile that moves texts around, an address as a whole or not at all."""
    parts = draw(st.sampled_from([TEXTS, PARTS]))
    if parts == PARTS:
        moves = dict(zip(parts, draw(st.permutations(parts)), strict=True))
    else:
        some = draw(st.lists(st.sampled_from(parts), unique=True))
        moves = dict(zip(some, draw(st.permutations(parts)), strict=False))
    fields: dict[str, dict[str, str]] = {part: {"there": place} for part, place in moves.items()}
    for part in draw(st.lists(st.sampled_from(TEXTS), unique=True, max_size=3)):
        fields.setdefault(part, {})
        if fields[part].get("there", part) not in set(moves.values()) - {moves.get(part)}:
            fields[part] |= {"default_there": "default", "default_here": "none"}
        elif part not in moves:
            del fields[part]
    constants = {"there": {"/metadata/g": "c"}, "here": {"/metadata/h": "c"}}
    return compiled(fields=fields, constants=draw(st.sampled_from([{}, constants])))


def stored(document: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a document after a patch; an address is replaced, metadata are merged by key."""
    merged = {**document, **patch}
    if "metadata" in patch:
        keys = {**(document["metadata"] or {}), **patch["metadata"]}
        merged["metadata"] = {k: v for k, v in keys.items() if v is not None}
    return merged


@settings(max_examples=150)
@given(profiles(), RECORDS, RECORDS)
def test_every_record_comes_back_as_it_was_pushed(
    routes: FieldRoutes, first: dict[str, Any], second: dict[str, Any]
) -> None:
    before, after = flatten(CUSTOMER, first), flatten(CUSTOMER, second)
    here, then = routes.coverage.of(before), routes.coverage.of(after)
    there = routes.document(here, creates=True)
    with_default = set(routes.defaults_here)
    seen = routes.show(there)
    assert not seen.unseen
    assert {p: v for p, v in (seen.fields or {}).items() if v != "none"} == here
    assert all(path in with_default for path in (seen.fields or {}).keys() - here.keys())
    patch = routes.patch(then, difference(here, then), creates=False)
    back = routes.show(stored(there, patch)).fields or {}
    assert {p: v for p, v in back.items() if v != "none"} == then
    lifted = apply(before, routes.coverage.lift(before, difference(here, then)))
    assert routes.coverage.of(lifted) == then
    travelling = {path for path in (*here, *then) if path != "/address"}
    assert all(lifted.get(p) == v for p, v in before.items() if p not in {*travelling, "/address"})
    assert Coverage.of_terms(routes.coverage.terms) == routes.coverage
