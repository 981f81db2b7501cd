"""Check the life of an object at the look-alike: create, read, change, delete, list."""

from collections.abc import Mapping
from typing import Any

import pytest

from zenskar.errors import CallFailed, FailureKind
from zenskar.model.integration import ExternalObject, Page
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.declaration_checks import PERSON
from zenskar.testing.subject import RECORD, Subject

_MOST_PAGES = 1000
_SHIFTED = 3
"""The objects that appear, and those that disappear, between two pages."""


class LifeChecks(AuthorPart):
    """The checks of `push`, `fetch`, `find` and `list_page`."""

    @check("life cycle")
    async def test_a_created_object_is_fetched(self) -> None:
        """A fetch returns the created object, with the id of our record."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                made = await create_person(subject, entity_type)
                seen = await subject.fetch(entity_type, made.external_id)
                require(seen.external_id == made.external_id, "a fetch returns another object")
                require(subject.fields(seen) == subject.fields(made), "a fetch shows other fields")
                require(seen.record_id == subject.record_id(), f"`record_id` is {seen.record_id!r}")

    @check("life cycle")
    async def test_a_created_object_is_found(self) -> None:
        """`find` returns the object that carries the id of a record, None for another id."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                unknown = await subject.find(entity_type, subject.record_id())
                require(unknown is None, "an unknown id is found")
                made = await create_person(subject, entity_type)
                found = await subject.find(entity_type, subject.record_id())
                require(found and found.external_id == made.external_id, "it is not found")
                other = subject.record_id("another")
                require(await subject.find(entity_type, other) is None, "an unknown id is found")

    @check("life cycle")
    async def test_fields_are_changed_and_unset(self) -> None:
        """An update changes the fields of its patch, unsets those with null, and keeps the rest."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                whole = person(subject, entity_type)
                seen = await subject.create(entity_type, whole, subject.record_id())
                kept = ("name", "email")
                for name in [name for name in whole if name not in kept]:
                    whole = {key: value for key, value in whole.items() if key != name}
                    seen = await subject.update(seen, subject.record_id(), whole)
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
                made = await create_person(subject, entity_type)
                gone = await subject.delete(made, subject.record_id())
                require(gone.data is None, "a delete shows the object with data")
                require(gone.external_id == made.external_id, "a delete shows another object")
                seen = await _fetch_deleted(subject, made)
                require(seen is None or seen.data is None, "a deleted object is fetched with data")

    @check("life cycle")
    async def test_not_visible_is_not_deleted(self) -> None:
        """The fetch of an id that never existed is no proof of a delete."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                made = await create_person(subject, entity_type)
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
                made = await self._listed(subject, entity_type)
                pages = await _pages(subject, entity_type)
                found = [seen.external_id for page in pages for seen in page.objects]
                require(set(found) >= made.keys(), "a page leaves out objects")
                require(len(found) == len(set(found)), "an object is on two pages")
                for seen in (seen for page in pages for seen in page.objects):
                    subject.fields(seen)
                if len(pages) == 1:
                    pytest.skip("all objects are on one page: raise `listed_objects`")

    @check("paging")
    async def test_pages_do_not_shift(self) -> None:
        """No object is left out when others are created and deleted between two pages."""
        async with self.connected() as subject:
            for entity_type in subject.entity_types:
                made = await self._listed(subject, entity_type)
                first = await subject.page(entity_type, None)
                if first.next_cursor is None:
                    pytest.skip("all objects are on one page: raise `listed_objects`")
                shown = [seen.external_id for seen in first.objects]
                for name in shown[:_SHIFTED]:
                    await subject.delete(made.pop(name), subject.record_id())
                for number in range(_SHIFTED):
                    await create_person(subject, entity_type, f"new-{number}")
                rest = await _pages(subject, entity_type, first.next_cursor)
                found = {*shown, *(seen.external_id for page in rest for seen in page.objects)}
                lost = made.keys() - found
                require(not lost, f"{len(lost)} objects are left out when the list changes")

    async def _listed(self, subject: Subject, entity_type: str) -> dict[str, ExternalObject]:
        """Create the objects of more than one page, and return them by id."""
        made = [
            await create_person(subject, entity_type, number)
            for number in range(self.listed_objects)
        ]
        return {seen.external_id: seen for seen in made}


def person(subject: Subject, entity_type: str, name: object = RECORD) -> dict[str, Any]:
    """Return a document with every carried field, for a record of this run.

    Its e-mail address is unique, because a system may refuse a second object with an address.
    """
    names = subject.shape(entity_type).names
    whole = {**PERSON, "email": f"{subject.run.hex[:8]}.{name}.{PERSON['email']}"}
    return {each: value for each, value in whole.items() if each in names}


async def create_person(
    subject: Subject, entity_type: str, name: object = RECORD
) -> ExternalObject:
    """Create an object with every carried field, for a record of this run."""
    document = person(subject, entity_type, name)
    return await subject.create(entity_type, document, subject.record_id(name))


def _has(fields: Mapping[str, Any], name: str) -> bool:
    return any(path[1:].partition("/")[0] == name for path in fields)


async def _fetch_deleted(subject: Subject, made: ExternalObject) -> ExternalObject | None:
    """Fetch a deleted object; None for a system that shows it no more."""
    try:
        return await subject.fetch(made.entity_type, made.external_id)
    except CallFailed as error:
        require(error.failure.kind is FailureKind.NOT_VISIBLE, f"the failure is {error.failure}")
        return None


async def _pages(subject: Subject, entity_type: str, cursor: str | None = None) -> list[Page]:
    """Return the pages after a cursor, which end and whose cursors advance."""
    pages: list[Page] = []
    cursors: set[str] = set()
    while len(pages) < _MOST_PAGES:
        pages.append(await subject.page(entity_type, cursor))
        cursor = pages[-1].next_cursor
        if cursor is None:
            return pages
        require(cursor not in cursors, "a cursor does not advance")
        cursors.add(cursor)
    raise AssertionError(f"the list does not end within {_MOST_PAGES} pages")
