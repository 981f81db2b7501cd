"""The kinds and the states of the runs that operators request."""

from enum import StrEnum


class RunKind(StrEnum):
    """The kinds of runs on a whole connection."""

    COMPARE = "compare"
    """Compare all records with all objects; change nothing."""
    REPAIR = "repair"
    """Compare, and repair the differences."""
    PLAN_REPAIR = "plan_repair"
    """Plan the repair of all differences; change nothing."""
    APPLY_REPAIR = "apply_repair"
    """Make the steps of the plan of an earlier run."""
    BACKFILL = "backfill"
    """Import all objects."""
    PLAN_JOIN = "plan_join"
    """Plan the join of two systems that are both full; change nothing."""
    APPLY_JOIN = "apply_join"
    """Make the steps of the plan of an earlier run."""
    DROP_DELETES = "drop_deletes"
    """Fetch the object of each held delete, and drop what is not proven."""

    @property
    def planned_by(self) -> "RunKind | None":
        """The kind of the run whose plan this kind applies."""
        return {"apply_repair": RunKind.PLAN_REPAIR, "apply_join": RunKind.PLAN_JOIN}.get(self)

    @property
    def changes(self) -> bool:
        """Whether a run of this kind changes records or objects."""
        return self not in {RunKind.COMPARE, RunKind.PLAN_REPAIR, RunKind.PLAN_JOIN}


class RunState(StrEnum):
    """The states of a run."""

    WAITING = "waiting"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"
