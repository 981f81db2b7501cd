"""Every mistake in a profile is named with its line and its column."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from zenskar import BaseIntegration, Connection
from zenskar.kernel import ConflictPolicy
from zenskar.plugins.profile.profile_file import ProfileError
from zenskar.plugins.profile.profiles import Profile, load_profile

FIELDS = "[customer.fields]\n"


class Small(BaseIntegration):
    carries: ClassVar[Mapping[str, tuple[str, ...]]] = {"customer": ("name", "metadata", "address")}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme.toml"


def load(path: Path, content: str | bytes) -> Profile:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return load_profile(path, Small(Connection("acme")))


def test_a_valid_profile_has_routes_and_policies(path: Path) -> None:
    content = """
        [customer.fields]
        "/phone" = { there = "/metadata/phone", conflict_policy = "latest_wins" }
        "/metadata" = { conflict_policy = "external_wins" }
    """
    profile = load(path, "\ufeff" + content.replace("\n", "\r\n"))
    assert profile.routes["customer"].coverage.place("/phone") == "/metadata/phone"
    assert profile.policies == {
        "/phone": ConflictPolicy.LATEST_WINS,
        "metadata": ConflictPolicy.EXTERNAL_WINS,
    }
    assert load(path, "") == Profile()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("a = = 1", ":1:5: is not TOML: Invalid value"),
        ("a = [1,\n", ":2:1: is not TOML: Invalid value"),
        ('a = 1\n"a" = 2', "is not TOML: Cannot overwrite a value"),
        ("custmer.x = 1", ":1:1: custmer is not a known field"),
        ("customer = 1", ":1:1: customer must be of type object"),
        (
            f'{FIELDS}"/name" = {{ default_here = 2030-01-31 }}',
            ':2:13: customer.fields."/name".default_here must not be a date or a time',
        ),
        (
            f'{FIELDS}"/name" = {{ schema = {{ enum = [12:00:00] }} }}',
            'customer.fields."/name".schema.enum.0 must not be a date or a time',
        ),
        (f"{FIELDS}'/name' = {{\n there = 1 }}".replace("{\n", "{"), ":2:13: "),
        (
            f'{FIELDS}"/name" = {{ direction = "inn" }}',
            ':2:13: customer.fields."/name".direction must be one of both or in or out',
        ),
        (f'{FIELDS}\n"/name".default_here = ""', ":3:1: "),
        (
            f'{FIELDS}"/nam" = {{}}',
            ":2:1: customer.fields.\"/nam\" must be the pointer of a part, not '/nam': use /name, ",
        ),
        (f'{FIELDS}"/name" = {{ there = "/metadata" }}', ":2:13: "),
        (f'{FIELDS}"/metadata/a/b" = {{}}', "/metadata/KEY"),
        (f'{FIELDS}"/metadata/zenskar_id" = {{}}', "must not begin with zenskar_"),
        (f'{FIELDS}"/phone" = {{}}', "needs /phone there, which the integration does not carry"),
        (
            f'{FIELDS}"/name".there = "/metadata/a"\n"/email".there = "/metadata/a"',
            ':3:1: customer.fields."/email".there needs /metadata/a there, which /name uses',
        ),
        (f'{FIELDS}"/metadata" = {{ there = "/address" }}', "is of a single part: name it"),
        (f'{FIELDS}"/address/city" = {{ direction = "in" }}', "is of the whole address: set it"),
        (
            f'{FIELDS}"/address/city" = {{ there = "/metadata/town" }}',
            ':2:1: customer.fields."/address/city" leaves nothing for /address/city there',
        ),
        ("[customer.filter]", ":1:1: customer.filter.schema is required"),
        (
            "[customer.filter]\n\nschema.required = ['name', 'nam']",
            ":3:28: customer.filter.schema.required.1 is no field of a customer",
        ),
        (
            "[customer.filter.schema]\nproperties.name.minLength = 1\nproperties.plan.const = 1",
            ":3:1: customer.filter.schema.properties.plan is no field of a customer",
        ),
        (
            "[customer.filter]\nschema.properties.name.minLength = 'x'",
            ":2:1: customer.filter.schema.properties.name.minLength is not valid in JSON Schema",
        ),
        (
            "[customer.filter]\nschema = {}\nleave = 'x'",
            ":3:1: customer.filter.leave is not a known",
        ),
        ('customer.constants.here."/address/city" = "x"', ":1:1: customer.constants.here"),
        (
            f'{FIELDS}"/name" = {{}}\n[customer.constants.here]\n"/name" = "x"',
            ':4:1: customer.constants.here."/name" is a constant, and a field that travels',
        ),
        (
            f'{FIELDS}"/name" = {{}}\n[customer.constants]\nthere = {{ "/name" = "x" }}',
            ':4:11: customer.constants.there."/name" needs /name there, which /name uses already',
        ),
        (
            f'{FIELDS}"/name".schema = {{ type = "string", maxLength = "x" }}',
            ':2:37: customer.fields."/name".schema.maxLength is not valid in JSON Schema 2020-12',
        ),
        (
            '[customer.rules.schema.properties.name]\n"$ref" = "http://localhost/x"',
            ":2:1: customer.rules.schema.properties.name.$ref must begin with #",
        ),
        ("customer.rules.schema.pattern = '('", ":1:1: customer.rules.schema.pattern is not"),
        ("customer.rules.schema.x = 1979-05-27", ":1:1: customer.rules.schema"),
        (b"\xff\xfe", ": is not UTF-8"),
        (b"a = '\x00'", ":1:6: "),
        (f"a = {'[' * 9000}{']' * 9000}", "nested too deeply"),
        ("#" * 300_000, "has more than 262144 bytes"),
    ],
)
def test_a_mistake_is_named_with_its_place(path: Path, content: Any, problem: str) -> None:
    with pytest.raises(ProfileError) as error:
        load(path, content)
    assert str(error.value).startswith(str(path))
    assert problem in str(error.value)
    assert "\n" not in str(error.value)


def test_every_mistake_is_named_in_the_order_of_the_file(path: Path) -> None:
    with pytest.raises(ProfileError) as error:
        load(path, f'{FIELDS}"/b" = {{}}\n"/a" = {{}}')
    first, second = str(error.value).split("; ")
    assert ":2:1: " in first
    assert ":3:1: " in second


def test_a_strange_key_stays_on_one_short_line(path: Path) -> None:
    with pytest.raises(ProfileError) as error:
        load(path, f'{FIELDS}"/a\\n\\u001b" = {{}}\n"/{"b" * 9000}" = {{}}')
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 1500


def test_an_entity_type_that_is_not_synced_is_refused(path: Path) -> None:
    class Others(BaseIntegration):
        entities = ("invoice",)

    path.write_text(FIELDS)
    with pytest.raises(ProfileError, match="customer is no entity type that the integration sync"):
        load_profile(path, Others(Connection("acme")))


def test_a_file_that_cannot_be_read_is_named(path: Path) -> None:
    with pytest.raises(ProfileError, match="No such file or directory"):
        load_profile(path, Small(Connection("acme")))
    with pytest.raises(ProfileError, match="Is a directory"):
        load_profile(path.parent, Small(Connection("acme")))
