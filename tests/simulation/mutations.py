"""Removals of single duties from the product, each with the move of a story that detects it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from unittest.mock import patch

from tests.simulation.memory import Act
from zenskar.model.fields import difference
from zenskar.model.record import ExternalMapping
from zenskar.ops import replay
from zenskar.ops.repair.repair_applier import _RepairBatch
from zenskar.sync.reconcile.backfill import Backfiller
from zenskar.sync.reconcile.repair import Repairer
from zenskar.sync.work.unit_of_work import UnitOfWork

Patches = Callable[[], list[tuple[Any, str, Any]]]
_plan = import_module("zenskar.kernel.plan")
_repair = import_module("zenskar.sync.reconcile.repair")
_first_sight = import_module("zenskar.kernel.first_sight")
_intervals = import_module("zenskar.kernel.intervals")


@dataclass(frozen=True)
class Mutation:
    """The removal of a duty. Without `move`, the story breaks no invariant; with it, `breach`."""

    name: str
    move: str
    patches: Patches
    story: Sequence[Act]
    breach: str
    seed: int = 0

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Remove the duty from the product."""
        patches = [patch.object(*one) for one in self.patches()]
        for one in patches:
            one.start()
        try:
            yield
        finally:
            for one in patches:
                one.stop()


def _emptied_values_are_not_sent() -> list[tuple[Any, str, Any]]:
    def changed(base: Any, fields: Any) -> Any:
        return {path: v for path, v in difference(base, fields).items() if v is not None}

    return [(_plan, "difference", changed)]


def _late_events_count_as_new() -> list[tuple[Any, str, Any]]:
    def is_late(_seen: Any) -> bool:
        return False

    return [(_first_sight, "is_late", is_late), (_intervals, "is_late", is_late)]


def _undelete_releases() -> list[tuple[Any, str, Any]]:
    def revive(work: UnitOfWork, external_id: str) -> ExternalMapping:
        work.release(external_id)
        return work.mappings[external_id]

    return [(UnitOfWork, "revive", revive)]


def _retries_write_nothing() -> list[tuple[Any, str, Any]]:
    async def resend(*_given: Any) -> list[Any]:
        return []

    return [(replay, "_resend", resend)]


def _repairs_do_nothing() -> list[tuple[Any, str, Any]]:
    async def repair(*_given: Any) -> None:
        return None

    return [(Repairer, "repair", repair)]


def _recreations_release_nothing() -> list[tuple[Any, str, Any]]:
    return [(_repair, "_release", lambda work, external_ids: None)]


def _planned_steps_are_not_made() -> list[tuple[Any, str, Any]]:
    async def apply(batch: _RepairBatch) -> None:
        batch.result.done += len(batch.steps)

    return [(_RepairBatch, "apply", apply)]


def _a_page_is_the_whole_list() -> list[tuple[Any, str, Any]]:
    async def walk(backfiller: Any, run: Any, count: Any, _on_progress: Any) -> None:
        page = await anext(backfiller.reader.pages(count.source, count.entity_type, run.cursor))
        await backfiller._publish_page(run, count, page)

    return [(Backfiller, "_walk", walk)]


_BORN = (Act("create_outside", value="a"), Act("calm"))
_MADE = (Act("create", who=1, value="a"), Act("calm"))

MUTATIONS = [
    Mutation(
        "emptied values are not sent",
        "edit",
        _emptied_values_are_not_sent,
        (*_MADE, Act("edit", what="no_phone", value="b")),
        "is not in sync",
    ),
    Mutation(
        "late events count as new",
        "ghost",
        _late_events_count_as_new,
        (*_BORN, Act("ghost", what="minutes", value="b")),
        "was deleted, and got a record",
    ),
    Mutation(
        "an undelete releases the object",
        "undelete",
        _undelete_releases,
        (*_MADE, Act("undelete")),
        "objects outside carry",
    ),
    Mutation(
        "a retry writes nothing",
        "fault",
        _retries_write_nothing,
        # The next act waits with the faults that are due.
        (Act("fault", what="refuse"), Act("create", value="a"), Act("empty_both", what="no_phone")),
        "'dead'",
    ),
    Mutation(
        "a repair does nothing",
        "drift",
        _repairs_do_nothing,
        (*_BORN, Act("drift", what="edit", value="b")),
        "no repair removes the drift",
    ),
    Mutation(
        "a lost object is not released",
        "repair",
        _recreations_release_nothing,
        (*_BORN, Act("drift", what="delete"), Act("repair", what="recreate")),
        "a repair (recreate) has left",
    ),
    Mutation(
        "the steps of a plan are not made",
        "repair",
        _planned_steps_are_not_made,
        (*_BORN, Act("drift", what="edit", value="b"), Act("repair", what="plan")),
        "a repair (plan) has left",
    ),
    Mutation(
        "a page is the whole list",
        "backfill",
        _a_page_is_the_whole_list,
        (*_BORN, Act("drift", what="create", value="b"), Act("backfill", who=1)),
        "a backfill has left",
    ),
]
