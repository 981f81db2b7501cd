"""Check the declarations of an integration, its secrets, and its start and stop."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from zenskar.errors import CallFailed
from zenskar.plugins.base import BaseIntegration
from zenskar.plugins.declaration_problems import find_problem
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.fault_proxy import Refusal
from zenskar.testing.subject import SOURCE, Subject, build, shown_logs

_HOOKS = ("to_canonical", "from_canonical", "push", "fetch", "find", "list_page")
PERSON = {
    "name": "Wilhelmina Quatsch",
    "email": "wilhelmina.quatsch@mail.example",
    "phone": "+4915550123987",
    "address": {"line1": "Quatschgasse 77", "city": "Quatschhausen", "country": "DE"},
    "metadata": {"nickname": "quatschi"},
}
_PERSONAL = ("Quatsch", "quatsch", "4915550123987")


class DeclarationChecks(AuthorPart):
    """The checks of declarations and secrets, and of `open` and `close`."""

    @check("declarations")
    def test_declarations_are_valid(self) -> None:
        """The core accepts the class, its schemas and the settings of the test."""
        kind = self.integration
        problem = find_problem(SOURCE, kind)
        require(not problem, f"the declarations are not valid: {problem}")
        own = [hook for hook in _HOOKS if getattr(kind, hook) is getattr(BaseIntegration, hook)]
        require(not own, f"not implemented: {', '.join(own)}")
        verifies = kind.verify_webhook is not BaseIntegration.verify_webhook
        parses = kind.parse_webhook is not BaseIntegration.parse_webhook
        require(verifies == parses, "`verify_webhook` and `parse_webhook` need each other")
        polled = kind.changes is not BaseIntegration.changes
        require(parses or polled, "without webhooks and `changes`, no event arrives")

    @check("secrets")
    def test_a_setting_that_is_a_secret_says_so(self) -> None:
        """A setting with key, token, password or secret in its name is declared as secret."""
        words = ("key", "token", "password", "secret")
        shown = [
            each.name
            for each in self.integration.settings
            if not each.secret and any(word in each.name.split("_") for word in words)
        ]
        require(not shown, f"not declared as secret: {', '.join(shown)}")

    @check("secrets")
    async def test_secrets_are_not_shown(self) -> None:
        """The text of the integration, and the error of a wrong setting, show no secret."""
        async with self.connected() as subject:
            secrets = secrets_of(subject)
            if not secrets:
                pytest.skip("the integration has no secret settings")
            hide(secrets, repr(subject.integration), str(subject.integration))
        given = self.settings
        for name in given:
            try:
                build(self.integration, {**given, name: "\x00 wrong"})
            except AssertionError as error:
                hide(secrets, str(error))

    @check("secrets")
    async def test_logs_and_failures_show_no_values(self) -> None:
        """No failure and no log line of refused calls has a secret or a part of a record."""
        async with self.breakable() as (subject, faults):
            hidden = (*secrets_of(subject), *_PERSONAL)
            with shown_logs() as lines:
                for entity_type in subject.entity_types:
                    names = subject.shape(entity_type).names
                    person = {name: each for name, each in PERSON.items() if name in names}
                    seen = await subject.create(entity_type, person, subject.record_id())
                    changed = {**person, "name": "Quatsch"}
                    seen = await subject.update(seen, subject.record_id(), changed)
                    for status in (400, 401, 403, 404, 409, 410, 422, 429, 500, 503):
                        with faults.faulty(Refusal(status)):
                            hide(hidden, *await _texts(subject, entity_type, person))
                    await subject.delete(seen, subject.record_id())
            hide(hidden, *lines)

    @check("start and stop")
    async def test_it_opens_and_closes_again(self) -> None:
        """A second object opens after the first, and `close` may follow no `open`."""
        async with self.external_system() as given:
            settings = {**self.settings, **given}
            for _ in range(2):
                integration = build(self.integration, settings).integration
                await integration.open()
                await integration.close()
            await build(self.integration, settings).integration.close()

    @check("start and stop")
    async def test_it_closes_twice(self) -> None:
        """A second `close` has no effect and raises no error."""
        async with self.connected() as subject:
            await subject.integration.close()
            await subject.integration.close()


def secrets_of(subject: Subject) -> tuple[str, ...]:
    """Return the values of the secret settings."""
    values: Mapping[str, Any] = subject.connection.connection.settings
    declared = subject.integration.settings
    return tuple(str(values[s.name]) for s in declared if s.secret and values.get(s.name))


def hide(hidden: Iterable[str], *texts: str) -> None:
    """Fail when a text shows a value that must stay hidden."""
    for text in texts:
        found = [value for value in hidden if value in text]
        require(not found, f"shows {found[0]!r} in: {text[:300]}" if found else "")


async def _texts(subject: Subject, entity_type: str, person: Mapping[str, Any]) -> list[str]:
    """Return the failures of refused calls, as texts."""
    calls = (
        subject.create(entity_type, person, subject.record_id("another")),
        subject.fetch(entity_type, "hidden"),
    )
    texts = []
    for call in calls:
        try:
            await call
        except CallFailed as error:
            texts += [repr(error.failure), str(error)]
    return texts


def as_json(value: Any) -> str:
    """Return the JSON of a value, which fails for a value that is not JSON."""
    return json.dumps(value, sort_keys=True, allow_nan=False)
