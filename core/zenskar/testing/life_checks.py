"""Check the life of an object at the look-alike: create, read, change, delete, list."""

from collections.abc import Mapping
from typing import Any

import pytest

from zenskar.errors import CallFailed, FailureKind
from zenskar.model.integration import ExternalObject, Page
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.declaration_checks import PERSON
from zenskar.testing.subject import CALL_SECONDS, SOURCE, Subject

_MOST_PAGES = 1000
RECORD = "01a20314-5e03-76b9-881e-849ddccd441f"


class LifeChecks(AuthorPart):
    """The checks of `push`, `fetch`, `find` and `list_page`."""

    @check("life cycle")
    async def test_a_created_object_is_fetched(self) -> None:
        """A fetch returns the created object, with the id of our record."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                made = await subject.create(entity_type, person(subject, entity_type), RECORD)
                seen = await subject.fetch(entity_type, made.external_id)
                require(seen.external_id == made.external_id, "a fetch returns another object")
                require(subject.fields(seen) == subject.fields(made), "a fetch shows other fields")
                require(seen.record_id == RECORD, f"`record_id` is {seen.record_id!r}")

    @check("life cycle")
    async def test_a_created_object_is_found(self) -> None:
        """`find` returns the object that carries the id of a record, None for another id."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                require(await subject.find(entity_type, RECORD) is None, "an unknown id is found")
                made = await subject.create(entity_type, person(subject, entity_type), RECORD)
                found = await subject.find(entity_type, RECORD)
                require(found and found.external_id == made.external_id, "it is not found")
                other = RECORD[:-1] + "0"
                require(await subject.find(entity_type, other) is None, "an unknown id is found")

    @check("life cycle")
    async def test_fields_are_changed_and_unset(self) -> None:
        """An update changes the fields of its patch, unsets those with null, and keeps the rest."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                whole = person(subject, entity_type)
                seen = await subject.create(entity_type, whole, RECORD)
                kept = ("name", "email")
                for name in [name for name in whole if name not in kept]:
                    whole = {key: value for key, value in whole.items() if key != name}
                    seen = await subject.update(seen, RECORD, whole)
                    shown = subject.fields(await subject.fetch(entity_type, seen.external_id))
                    left = [path for path in shown if path[1:].partition("/")[0] == name]
                    require(not left, f"{name} is not unset")
                    lost = [key for key in whole if not _has(shown, key)]
                    require(not lost, f"an update without {', '.join(lost)} unsets it")

    @check("life cycle")
    async def test_a_delete_is_proven(self) -> None:
        """A delete shows an object without data, and so does a fetch after it."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                made = await subject.create(entity_type, person(subject, entity_type), RECORD)
                gone = await subject.delete(made, RECORD)
                require(gone.data is None, "a delete shows the object with data")
                require(gone.external_id == made.external_id, "a delete shows another object")
                seen = await _fetch_deleted(subject, made)
                require(seen is None or seen.data is None, "a deleted object is fetched with data")

    @check("life cycle")
    async def test_not_visible_is_not_deleted(self) -> None:
        """The fetch of an id that never existed is no proof of a delete."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                made = await subject.create(entity_type, person(subject, entity_type), RECORD)
                try:
                    seen = await subject.fetch(entity_type, made.external_id + "0")
                except CallFailed as error:
                    kind = error.failure.kind
                    require(kind is not FailureKind.BUG, f"the failure is not classified: {error}")
                else:
                    require(seen.data is not None, "an object that never existed is deleted")
                    raise AssertionError("an object that never existed is fetched")

    @check("paging")
    async def test_pages_hold_every_object_once(self) -> None:
        """The pages end, their cursors advance, and each object is on one page."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                document = person(subject, entity_type)
                wanted = [
                    (await subject.create(entity_type, document, f"record-{number}")).external_id
                    for number in range(self.listed_objects)
                ]
                pages = await _pages(subject, entity_type)
                found = [seen.external_id for page in pages for seen in page.objects]
                require(set(found) >= set(wanted), "a page leaves out objects")
                require(len(found) == len(set(found)), "an object is on two pages")
                for seen in (seen for page in pages for seen in page.objects):
                    subject.fields(seen)
                if len(pages) == 1:
                    pytest.skip("all objects are on one page: raise `listed_objects`")


def person(subject: Subject, entity_type: str) -> dict[str, Any]:
    """Return a document with every carried field."""
    names = subject.shape(entity_type).names
    return {name: value for name, value in PERSON.items() if name in names}


def _has(fields: Mapping[str, Any], name: str) -> bool:
    return any(path[1:].partition("/")[0] == name for path in fields)


async def _fetch_deleted(subject: Subject, made: ExternalObject) -> ExternalObject | None:
    """Fetch a deleted object; None for a system that shows it no more."""
    try:
        return await subject.fetch(made.entity_type, made.external_id)
    except CallFailed as error:
        require(error.failure.kind is FailureKind.NOT_VISIBLE, f"the failure is {error.failure}")
        return None


async def _pages(subject: Subject, entity_type: str) -> list[Page]:
    pages: list[Page] = []
    cursors: set[str] = set()
    cursor = None
    while len(pages) < _MOST_PAGES:
        arguments = {"entity_type": entity_type, "cursor": cursor}
        answer = await subject.invoker.call(
            SOURCE, "list_page", Page, seconds=CALL_SECONDS, **arguments
        )
        pages.append(answer.value)
        cursor = answer.value.next_cursor
        if cursor is None:
            return pages
        require(cursor not in cursors, "a cursor does not advance")
        cursors.add(cursor)
    raise AssertionError(f"the list does not end within {_MOST_PAGES} pages")
