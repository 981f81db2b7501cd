"""Check by properties that both translations undo each other."""

import asyncio
import copy
import itertools
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from zenskar.model.fields import flatten
from zenskar.model.integration import Change, ExternalObject
from zenskar.testing.author_part import AuthorPart
from zenskar.testing.check_method import check, require
from zenskar.testing.declaration_checks import as_json
from zenskar.testing.subject import SOURCE, Subject

Run = Callable[[Any], Any]
_PROPERTY = settings(
    # Each example makes calls, so a search for the simplest one takes minutes.
    phases=(Phase.explicit, Phase.generate),
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


class TranslationChecks(AuthorPart):
    """The checks of `to_canonical` and `from_canonical`, with documents that Hypothesis makes."""

    @check("translation")
    def test_documents_come_back(self) -> None:
        """A created object shows the document, and again after a change into any other."""
        numbers = itertools.count()
        with self._running() as (run, subject):
            for entity_type in subject.entity_types:
                travel = partial(_travel, subject, entity_type)
                pairs = self._pairs(subject, entity_type)
                _hold(
                    pairs,
                    lambda pair, go=travel: run(go(*pair, subject.record_id(next(numbers)))),
                    self.examples,
                )

    @check("translation")
    def test_translations_are_deterministic(self) -> None:
        """Equal arguments have equal results, which are JSON."""
        self._each_change(_translate_twice)

    @check("translation")
    def test_arguments_of_translations_stay_unchanged(self) -> None:
        """`from_canonical` changes neither the patch nor the document."""
        self._each_change(_translate_and_compare)

    @check("translation")
    def test_to_canonical_is_deterministic(self) -> None:
        """Equal objects have equal documents, and `to_canonical` does not change the object."""
        with self._running() as (run, subject):
            for number, (entity_type, document) in enumerate(_examples(self, subject)):
                seen = run(subject.create(entity_type, document, subject.record_id(number)))
                _read_twice(subject, seen)

    def _each_change(self, assertion: Callable[[Subject, Change], None]) -> None:
        subject = self.closed()

        def compare(entity_type: str, pair: Any) -> None:
            assertion(subject, subject.new_change(entity_type, pair[0], "record"))
            assertion(subject, subject.update_change(entity_type, *pair))

        for entity_type in subject.entity_types:
            _hold(self._pairs(subject, entity_type), partial(compare, entity_type), self.examples)

    def _pairs(self, subject: Subject, entity_type: str) -> Any:
        documents = self.documents(subject, entity_type)
        return st.tuples(documents, documents)

    @contextmanager
    def _running(self) -> Iterator[tuple[Run, Subject]]:
        """Run the look-alike in a loop of its own, in which each example takes its turn."""
        with asyncio.Runner() as runner:
            system = self.connected()
            subject = runner.run(system.__aenter__())
            try:
                yield runner.run, subject
            finally:
                runner.run(system.__aexit__(None, None, None))


async def _travel(
    subject: Subject,
    entity_type: str,
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    record_id: str,
) -> None:
    seen = await subject.create(entity_type, first, record_id)
    _compare(subject, seen, first, "after a create")
    _compare(subject, await subject.fetch(entity_type, seen.external_id), first, "when fetched")
    seen = await subject.update(seen, record_id, second)
    _compare(subject, seen, second, "after an update")
    await subject.delete(seen, record_id)


def _compare(
    subject: Subject, seen: ExternalObject, document: Mapping[str, Any], when: str
) -> None:
    found = subject.fields(seen)
    wanted = flatten(subject.shape(seen.entity_type), document)
    for path in sorted({*found, *wanted}):
        theirs, ours = found.get(path), wanted.get(path)
        require(theirs == ours, f"{path} {when} is {theirs!r}, not {ours!r}")


def _body(subject: Subject, change: Change) -> Any:
    return subject.router.call(SOURCE, "from_canonical", change=change)


def _translate_twice(subject: Subject, change: Change) -> None:
    bodies = {as_json(_body(subject, copy.deepcopy(change))) for _ in range(2)}
    require(len(bodies) == 1, "the bodies of one change differ")


def _translate_and_compare(subject: Subject, change: Change) -> None:
    before = copy.deepcopy(change)
    _body(subject, change)
    require(change == before, "`from_canonical` changes its argument")


def _read_twice(subject: Subject, seen: ExternalObject) -> None:
    before = copy.deepcopy(seen)
    documents = {as_json(subject.router.call(SOURCE, "to_canonical", seen=seen)) for _ in range(2)}
    require(seen == before, "`to_canonical` changes its argument")
    require(len(documents) == 1, "the documents of one object differ")


def _examples(part: AuthorPart, subject: Subject) -> list[tuple[str, dict[str, Any]]]:
    """Return a few documents of each entity type."""
    found: list[tuple[str, dict[str, Any]]] = []
    for entity_type in subject.entity_types:
        documents = part.documents(subject, entity_type)
        _hold(documents, lambda document, name=entity_type: found.append((name, document)), 5)
    return found


def _hold(values: st.SearchStrategy[Any], body: Callable[..., Any], examples: int) -> None:
    """Call a function with generated values, and report a value for which it fails."""

    @settings(_PROPERTY, max_examples=examples)
    @given(values)
    def holds(value: Any) -> None:
        body(value)

    holds()
