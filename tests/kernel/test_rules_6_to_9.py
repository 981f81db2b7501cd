"""Rules 6 to 9, one after the other, each in its smallest case; docs/kernel.md explains them."""

from dataclasses import replace

import pytest

from tests.kernel.cases import (
    ANSWER,
    ANSWERED,
    EXTERNAL_WINS,
    FETCH,
    INTERNAL_WINS,
    LATEST_WINS,
    LIST,
    UNKNOWN,
    WEBHOOK,
    intent,
    mapping,
    record,
    second,
    seen,
    step,
    take,
)
from zenskar import kernel
from zenskar.kernel import Candidate, ConflictPolicy, MergePolicy, Situation, StepKind, Verdict
from zenskar.kernel.match import MOST_CANDIDATES
from zenskar.kernel.policy import Ground, Side
from zenskar.model.interval import MICROSECONDS
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import ExternalMapping, IntentKind, MappingState, Record

SYNCED = Situation(record(), mapping())


WANTED = Situation(record("Bob"), mapping(fetch_revision=4))


# Rule 6: a push without an answer


def test_rule_6_an_update_without_an_answer_is_looked_for() -> None:
    known = Situation(record("Bob"), mapping(), (intent("Bob", UNKNOWN),))
    outcome = kernel.lost(known, "k1")
    assert outcome.mapping is not None
    assert outcome.mapping.fetch_revision == 6
    assert step(replace(known, mapping=outcome.mapping)) is StepKind.FETCH


def test_rule_6_so_is_one_whose_worker_died_without_a_word() -> None:
    known = Situation(record("Bob"), mapping(), (intent("Bob", UNKNOWN),))
    assert step(known) is StepKind.FETCH
    assert step(replace(known, mapping=mapping(revision=6))) is StepKind.UPDATE


@pytest.mark.parametrize(
    ("alive", "deleted", "expected"),
    [
        (True, False, StepKind.RESEND),
        (False, False, StepKind.FIND),
        (True, True, StepKind.FIND),
    ],
)
def test_rule_6_a_create_without_an_answer_is_never_repeated_blindly(
    alive: bool, deleted: bool, expected: StepKind
) -> None:
    create = intent("Ada", UNKNOWN, kind=IntentKind.CREATE, revision=0, key_alive=alive)
    known = Situation(record(deleted=deleted), None, (create,))
    assert kernel.plan(known, propagate_deletes=True).intent == create
    assert step(known) is expected
    assert kernel.lost(known, "k1").mapping is None


def test_rule_6_nothing_is_sent_while_a_push_is_on_its_way() -> None:
    assert step(replace(WANTED, intents=(intent("Bob"),))) is StepKind.WAIT


# Rule 7: a webhook before the answer

CREATING = Situation(record("Bob"), None, (intent("Ada", kind=IntentKind.CREATE, revision=0),))


def test_rule_7_an_object_with_our_records_id_is_linked_to_it() -> None:
    outcome = take(CREATING, seen("Ada", record_id="r1", origin_key="k1"))
    assert outcome.verdict is Verdict.LINKED
    assert outcome.mapping is not None
    assert (outcome.mapping.entity_id, outcome.mapping.base) == ("r1", {"/name": "Ada"})
    assert not outcome.create_record


@pytest.mark.parametrize("policy", [INTERNAL_WINS, EXTERNAL_WINS])
def test_rule_7_the_creates_body_is_the_base(policy) -> None:
    outcome = take(CREATING, seen("Ada", record_id="r1"), policy)
    assert (outcome.record_changes, outcome.conflicts) == ({}, ())
    outcome = take(replace(CREATING, record=record()), seen("Eve", record_id="r1"), policy)
    assert (outcome.record_changes, outcome.conflicts) == ({"/name": "Eve"}, ())


@pytest.mark.parametrize("policy", [INTERNAL_WINS, EXTERNAL_WINS])
def test_rule_7_no_create_in_progress_is_the_base_of_an_object_that_refused_one(policy) -> None:
    """Found by the simulation: the fields that only the record had were emptied."""
    full = replace(record(), fields={"/name": "Ada", "/phone": "1"})
    create = replace(CREATING.intents[0], changes=full.fields)
    waiting = replace(CREATING, record=full, intents=(create,))
    outcome = take(waiting, replace(seen("Ada", record_id="r1"), foreign=True), policy)
    assert (outcome.verdict, outcome.record_changes) == (Verdict.LINKED, {})
    assert outcome.settled == ()
    plain = take(waiting, seen("Ada", record_id="r1"), policy)
    assert plain.record_changes == {"/phone": None}


def test_rule_7_a_lost_create_is_settled_by_its_object() -> None:
    create = intent("Ada", UNKNOWN, kind=IntentKind.CREATE, revision=0)
    outcome = take(Situation(record(), None, (create,)), seen("Ada", record_id="r1"))
    assert outcome.settled == ("k1",)


def test_rule_7_a_second_object_that_claims_a_record_stays_alone() -> None:
    known = Situation(record(), None, rival=mapping())
    outcome = take(known, seen("Eve", record_id="r1", external_id="x2"))
    assert (outcome.verdict, outcome.mapping) == (Verdict.DUPLICATE, None)
    assert outcome.seen_changes == {"/name": "Eve"}
    assert not outcome.record_changes
    deleted = take(known, seen(None, record_id="r1", external_id="x2"))
    assert (deleted.verdict, deleted.delete_record) == (Verdict.DUPLICATE, False)


ENDED = Situation(record(deleted=True), None, rival=mapping(state=MappingState.DELETED))
COPY = {"record_id": "r1", "external_id": "x2"}


@pytest.mark.parametrize("detached", [False, True])
@pytest.mark.parametrize("kind", [WEBHOOK, FETCH, ObservationKind.LIST])
def test_rule_7_an_object_outlives_the_record_that_it_names(kind, detached: bool) -> None:
    ended = replace(ENDED, rival=mapping(state=MappingState.DELETED, detached=detached))
    outcome = take(ended, seen("Eve", 11, kind, **COPY))
    assert (outcome.verdict, outcome.create_record) == (Verdict.CREATED, True)
    assert outcome.mapping is not None
    assert (outcome.mapping.external_id, outcome.mapping.entity_id) == ("x2", "r2")
    # A later event may have come while it was a duplicate, so a webhook is not the last word.
    assert (outcome.mapping.fetch_revision is not None) == (kind is WEBHOOK)


def test_rule_7_an_object_does_not_outlive_its_record_while_that_has_another() -> None:
    leaving = replace(ENDED, rival=mapping())
    assert take(leaving, seen("Eve", **COPY)).verdict is Verdict.DUPLICATE


def test_rule_7_what_our_own_create_made_ends_with_its_record() -> None:
    create = intent("Ada", ANSWERED, kind=IntentKind.CREATE, revision=0)
    news = seen("Ada", **COPY, origin_key="k1")
    assert take(replace(ENDED, intents=(create,)), news).verdict is Verdict.DUPLICATE
    lost = replace(ENDED, rival=None, intents=(replace(create, state=UNKNOWN),))
    outcome = take(lost, seen("Ada", **COPY))
    assert (outcome.verdict, outcome.create_record) == (Verdict.LINKED, False)


def test_rule_8_a_duplicate_that_was_deleted_never_becomes_a_record() -> None:
    """Found by the search: a late webhook of the copy came after the end of the record."""
    known = Situation(record(), None, rival=mapping())
    buried = take(known, seen(None, **COPY)).mapping
    assert buried is not None
    assert (buried.entity_id, buried.active) == (None, False)
    late = take(replace(ENDED, mapping=buried), seen("Eve", **COPY))
    assert (late.verdict, late.create_record) == (Verdict.TOMBSTONE, False)


RELEASED = Situation(record("Bob"), mapping(state=MappingState.DELETED, detached=True))


def test_rule_8_a_living_record_whose_object_was_let_go_of_gets_another() -> None:
    assert step(RELEASED) is StepKind.CREATE
    anew = replace(RELEASED, mapping=None, rival=RELEASED.mapping)
    outcome = take(anew, seen("Bob", **COPY))
    assert outcome.verdict is Verdict.LINKED
    assert outcome.mapping is not None
    assert outcome.mapping.entity_id == "r1"
    gone = take(anew, seen(None, **COPY))
    assert (gone.verdict, gone.delete_record) == (Verdict.DUPLICATE, False)


def test_rule_6_the_create_of_another_object_is_resolved_though_its_record_is_deleted() -> None:
    create = intent("Bob", UNKNOWN, kind=IntentKind.CREATE, revision=5)
    deleted = replace(RELEASED, record=record(deleted=True))
    assert step(deleted) is StepKind.NOTHING
    assert step(replace(deleted, intents=(create,))) is StepKind.FIND
    before = replace(create, revision=0)
    assert step(replace(deleted, intents=(before,))) is StepKind.NOTHING
    found = Situation(record(deleted=True), None, (create,), rival=RELEASED.mapping)
    assert take(found, seen("Bob", **COPY)).verdict is Verdict.LINKED


@pytest.mark.parametrize("kind", [ANSWER, FETCH])
def test_rule_7_a_call_for_one_record_never_tells_of_anothers_object(kind) -> None:
    """Found by the search.

    1. A create for record 1 gets no answer. 2. The find by its id returns record 0's object,
    on which somebody has put that id. 3. Record 0 took it for an observation of its own and waited
    for a fetch without a caller, and the find was repeated forever.
    """
    intent_id = "k1" if kind is ANSWER else None
    news = seen("Eve", 11, kind, record_id="r9", seen_revision=0, intent_id=intent_id)
    outcome = take(SYNCED, news)
    assert (outcome.verdict, outcome.mapping) == (Verdict.DUPLICATE, None)
    assert (outcome.settled, outcome.unconfirmed) == ((), news.answers)


def test_rule_7_a_webhook_belongs_to_the_mapped_record_whatever_id_it_carries() -> None:
    assert take(SYNCED, seen("Eve", 11, record_id="r9")).record_changes == {"/name": "Eve"}


def test_an_unknown_object_becomes_a_record() -> None:
    outcome = take(Situation(), seen("Eve"))
    assert (outcome.verdict, outcome.create_record) == (Verdict.CREATED, True)
    assert outcome.mapping is not None
    assert (outcome.mapping.entity_id, outcome.record_changes) == ("r2", {"/name": "Eve"})


def candidate(record_id: str, *, free: bool = True, **fields: str) -> Candidate:
    """Return a record with these fields."""
    return Candidate(Record(record_id, {f"/{n}": v for n, v in fields.items()}), free)


def unnamed(**fields: str) -> Observation:
    """Return a webhook of an object with these fields, which names no record."""
    return replace(seen("Eve"), fields={f"/{n}": v for n, v in fields.items()})


def matching(*candidates: Candidate, by: tuple[str, ...] = ("email",)) -> Situation:
    return Situation(candidates=candidates, match_by=by)


def test_rule_7_an_object_without_an_id_is_linked_to_the_free_record_with_its_value() -> None:
    here = candidate("r1", email="ada@x.org", name="Ada", phone="1")
    there = unnamed(email=" Ada@X.org", name="Ada L.")
    outcome = take(matching(here), there, EXTERNAL_WINS)
    assert (outcome.verdict, outcome.matched) == (Verdict.LINKED, ("r1",))
    assert outcome.mapping is not None
    assert outcome.mapping.entity_id == "r1"
    # The phone is empty there, and an empty value never beats a value.
    assert outcome.record_changes == {"/email": " Ada@X.org", "/name": "Ada L."}
    assert {c.path: c.winner for c in outcome.conflicts} == dict.fromkeys(
        ("/email", "/name"), Side.EXTERNAL
    )
    kept = take(matching(here), there)
    assert (kept.verdict, kept.record_changes, len(kept.conflicts)) == (Verdict.LINKED, {}, 2)


ONE, OTHER = (
    candidate("r1", email="x@x.org", name="Ada"),
    candidate("r2", email="x@x.org", name="Bob"),
)


@pytest.mark.parametrize(
    ("known", "name", "linked", "undecided"),
    [
        (matching(ONE, OTHER), "Ada", None, ("r1", "r2")),
        (matching(replace(ONE, free=False)), "Ada", None, ("r1",)),
        (matching(ONE, OTHER, by=("email", "name")), "bob ", "r2", ()),
        (matching(ONE, replace(OTHER, free=False), by=("email", "name")), "Bob", None, ("r2",)),
        (matching(ONE, OTHER, by=("email", "name")), "Cid", None, ()),
        (matching(ONE, OTHER, by=("email", "name")), "", None, ("r1", "r2")),
        (matching(replace(ONE, free=False), by=("email", "name")), "Bob", None, ()),
        (matching(ONE, by=("email", "name")), "Bob", "r1", ()),
        (matching(candidate("r1", email="y@x.org")), "Ada", None, ()),
    ],
)
def test_rule_7_a_match_that_is_not_certain_waits_for_a_person(
    known: Situation, name: str, linked: str | None, undecided: tuple[str, ...]
) -> None:
    fields = {"email": "x@x.org"} | ({"name": name} if name else {})
    outcome = take(known, unnamed(**fields))
    if undecided:
        assert (outcome.verdict, outcome.matched) == (Verdict.UNDECIDED, undecided)
        assert (outcome.mapping, outcome.record_changes) == (None, {})
    elif linked:
        assert (outcome.verdict, outcome.matched) == (Verdict.LINKED, (linked,))
    else:
        assert outcome.create_record


def test_rule_7_too_many_candidates_are_not_told_apart() -> None:
    many = [candidate(f"r{n}", email="x@x.org", name=f"N {n}") for n in range(MOST_CANDIDATES + 1)]
    known = matching(*many, by=("email", "name"))
    assert take(known, unnamed(email="x@x.org", name="N 1")).verdict is Verdict.UNDECIDED


def test_rule_7_the_winner_of_a_join_may_be_another_than_that_of_a_conflict() -> None:
    here = candidate("r1", email="x@x.org", name="Ada", phone="1")
    there = unnamed(email="x@x.org", name="Eve", phone="2")
    theirs = ConflictPolicy.EXTERNAL_WINS
    policy = MergePolicy(join_per_field={"phone": theirs})
    assert take(matching(here), there, policy).record_changes == {"/phone": "2"}
    policy = MergePolicy(per_field={"name": theirs}, join_default=ConflictPolicy.INTERNAL_WINS)
    assert take(matching(here), there, policy).record_changes == {}
    # Once joined, the conflict policy decides.
    edited = replace(SYNCED, record=record("Bob"))
    (conflict,) = take(edited, seen("Eve", 11), MergePolicy(join_default=theirs)).conflicts
    assert conflict.winner is Side.INTERNAL


# Rule 8: deletes


@pytest.mark.parametrize("at", [9, 10, 11])
def test_rule_8_a_delete_wins_over_edits_whenever_it_was_seen(at: int) -> None:
    known = Situation(record("Bob"), mapping(fetch_revision=4))
    outcome = take(known, seen(None, at, ANSWER, seen_revision=5, intent_id="k1"))
    assert (outcome.verdict, outcome.delete_record) == (Verdict.DELETED, True)
    assert outcome.settled == ("k1",)
    gone = outcome.mapping
    assert gone is not None
    assert (gone.active, gone.revision, gone.fetch_revision) == (False, 6, None)
    assert gone.asof == second(max(at, 10))


def test_rule_8_a_tombstone_is_never_revived() -> None:
    tombstone = mapping(state=MappingState.DELETED)
    outcome = take(Situation(record(deleted=True), tombstone), seen("Eve", 12))
    assert (outcome.verdict, outcome.mapping) == (Verdict.TOMBSTONE, None)
    assert step(Situation(record(deleted=True), tombstone)) is StepKind.NOTHING


def test_rule_8_an_edit_of_an_object_that_was_let_go_of_is_recorded() -> None:
    """Found by the simulation: the values were in no history."""
    detached = mapping(state=MappingState.DELETED, detached=True)
    gone = Situation(record(deleted=True), detached)
    assert take(gone, seen("Eve", 12)).seen_changes == {"/name": "Eve"}
    assert take(gone, seen(None, 12)).seen_changes == {}


def test_rule_8_a_delete_before_its_create_leaves_a_tombstone() -> None:
    outcome = take(Situation(), seen(None))
    assert outcome.mapping is not None
    assert (outcome.mapping.entity_id, outcome.mapping.active) == (None, False)
    assert take(Situation(mapping=outcome.mapping), seen("Eve")).verdict is Verdict.TOMBSTONE


def test_rule_8_a_delete_of_a_known_records_unknown_object_deletes_the_record() -> None:
    outcome = take(Situation(record()), seen(None, record_id="r1"))
    assert (outcome.verdict, outcome.delete_record) == (Verdict.DELETED, True)


def test_rule_8_a_tombstone_of_a_second_object_leaves_the_record_alone() -> None:
    tombstone = ExternalMapping("x2", None, {}, second(10), state=MappingState.DELETED)
    known = Situation(record(), tombstone, rival=mapping())
    outcome = take(known, seen("Eve", record_id="r1", external_id="x2"))
    assert (outcome.verdict, outcome.delete_record) == (Verdict.TOMBSTONE, False)


def test_rule_8_a_tombstone_that_turns_out_to_be_a_records_deletes_it() -> None:
    tombstone = ExternalMapping("x1", None, {}, second(10), state=MappingState.DELETED)
    outcome = take(Situation(record(), tombstone), seen("Ada", record_id="r1"))
    assert (outcome.verdict, outcome.delete_record) == (Verdict.DELETED, True)
    assert outcome.mapping is not None
    assert outcome.mapping.entity_id == "r1"


@pytest.mark.parametrize(
    ("propagate", "expected"), [(True, StepKind.DELETE), (False, StepKind.DETACH)]
)
def test_rule_8_deletes_travel_outward_only_if_that_is_set(propagate, expected) -> None:
    known = Situation(record(deleted=True), mapping())
    assert step(known, propagate_deletes=propagate) is expected


def test_rule_8_edits_do_not_reach_a_deleted_record() -> None:
    outcome = take(Situation(record(deleted=True), mapping()), seen("Eve", 11))
    assert (outcome.record_changes, outcome.seen_changes) == ({}, {"/name": "Eve"})


def test_rule_8_an_undelete_merges_the_edits_that_a_deleted_record_did_not_take() -> None:
    """Found by the simulation: the undelete undid such an edit, as if it were of the record."""
    dead = Situation(record(deleted=True), mapping())
    outcome = take(dead, seen("Eve", 11))
    assert outcome.mapping is not None
    assert outcome.mapping.base == record().fields
    alive = replace(dead, record=record(), mapping=outcome.mapping)
    assert take(alive, seen("Eve", 12)).record_changes == {"/name": "Eve"}


def test_rule_8_the_base_of_a_deleted_record_takes_its_own_pushes() -> None:
    push = intent("Bob")
    dead = Situation(record("Bob", deleted=True), mapping(), (push,))
    outcome = take(dead, seen("Bob", 11, origin_key="k1"))
    assert outcome.mapping is not None
    assert outcome.mapping.base == {"/name": "Bob"}


def test_rule_8_a_deleted_record_takes_no_edit_with_its_new_object() -> None:
    outcome = take(
        replace(CREATING, record=record(deleted=True)), seen("Eve", record_id="r1", origin_key="k1")
    )
    assert outcome.mapping is not None
    assert outcome.mapping.base == {"/name": "Ada"}


# Rule 9: conflicts

CONFLICT = Situation(record("Bob", updated_at=11 * MICROSECONDS), mapping())


@pytest.mark.parametrize(
    ("policy", "at", "winner"),
    [
        (INTERNAL_WINS, 12, Side.INTERNAL),
        (EXTERNAL_WINS, 12, Side.EXTERNAL),
        (LATEST_WINS, 12, Side.EXTERNAL),
        (LATEST_WINS, 11, Side.INTERNAL),
    ],
)
def test_rule_9_the_policy_settles_a_conflict(policy, at: int, winner: Side) -> None:
    outcome = take(CONFLICT, seen("Eve", at), policy)
    assert outcome.record_changes == ({"/name": "Eve"} if winner is Side.EXTERNAL else {})
    (conflict,) = outcome.conflicts
    assert (conflict.winner, conflict.policy) == (winner, policy.default)
    assert (conflict.base, conflict.internal, conflict.external) == ("Ada", "Bob", "Eve")
    assert outcome.seen_changes == {"/name": "Eve"}


@pytest.mark.parametrize("kind", [WEBHOOK, FETCH, LIST])
@pytest.mark.parametrize(("changed", "winner"), [(11, Side.INTERNAL), (12, Side.EXTERNAL)])
def test_rule_9_the_time_of_the_last_change_counts_and_not_that_of_a_look(
    kind, changed: int, winner: Side
) -> None:
    outcome = take(CONFLICT, seen("Eve", 60, kind, changed_at=second(changed)), LATEST_WINS)
    assert [conflict.winner for conflict in outcome.conflicts] == [winner]


def test_rule_9_the_last_change_before_an_answer_is_our_own() -> None:
    sent = intent("Ada", changes={"/phone": "1"})
    answer = seen("Eve", 11, ANSWER, seen_revision=5, intent_id="k1", changed_at=second(60))
    outcome = take(replace(CONFLICT, intents=(sent,)), answer, LATEST_WINS)
    assert [conflict.winner for conflict in outcome.conflicts] == [Side.INTERNAL]


def test_rule_9_a_conflict_that_shows_when_the_object_is_linked_is_recorded() -> None:
    outcome = take(CREATING, seen("Eve", record_id="r1"))
    (conflict,) = outcome.conflicts
    assert (conflict.base, conflict.internal, conflict.external) == ("Ada", "Bob", "Eve")
    assert outcome.seen_changes == {"/name": "Eve"}


def test_rule_9_the_same_edit_on_both_sides_is_no_conflict() -> None:
    outcome = take(CONFLICT, seen("Bob", 12))
    assert (outcome.conflicts, outcome.record_changes) == ((), {})


def test_rule_9_an_edit_that_was_overwritten_unseen_is_recorded() -> None:
    outcome = take(Situation(record("Bob"), mapping("Bob", asof=second(12))), seen("Eve", 11))
    assert (outcome.verdict, outcome.seen_changes) == (Verdict.STALE, {"/name": "Eve"})


def version_after(known: str | None, shown: Observation) -> str | None:
    """Return the version of a mapping after an observation, None without a change of the base."""
    outcome = take(Situation(record(), mapping(version=known)), shown)
    assert outcome.mapping is not None
    return outcome.mapping.version


@pytest.mark.parametrize("known", ["v1", None])
@pytest.mark.parametrize(("kind", "at"), [(WEBHOOK, 11), (LIST, 11), (FETCH, 10), (ANSWER, 10)])
def test_rule_9_a_newer_observation_sets_the_version(kind, at: int, known: str | None) -> None:
    causal = {} if kind in {WEBHOOK, LIST} else {"seen_revision": 5}
    assert version_after(known, seen("Eve", at, kind, version="v2", **causal)) == "v2"


def test_rule_9_an_observation_whose_order_is_open_sets_no_known_version() -> None:
    assert version_after("v1", seen("Ada", version="v2")) == "v1"
    assert version_after(None, seen("Ada", version="v2")) == "v2"
    assert version_after("v1", seen("Eve", version="v2")) == "v1"
    fetch = seen("Eve", 9, FETCH, seen_revision=4, version="v0")
    wanted = Situation(record(), mapping(version="v1", fetch_revision=4))
    outcome = take(wanted, fetch)
    assert (outcome.verdict, outcome.mapping.version) == (Verdict.STALE, "v1")


def test_rule_9_only_a_fetch_shows_that_there_is_no_version() -> None:
    assert version_after("v1", seen("Eve", 11)) == "v1"
    assert version_after("v1", seen("Eve", 10, ANSWER, seen_revision=5)) == "v1"
    assert version_after("v1", seen("Eve", 10, FETCH, seen_revision=5)) is None


@pytest.mark.parametrize(
    ("kind", "known", "expected"),
    [
        (WEBHOOK, "v1", "v1"),
        (LIST, "v1", "v1"),
        (WEBHOOK, None, None),
        (ANSWER, None, None),
        (ANSWER, "v1", "v2"),
        (FETCH, "v1", "v2"),
    ],
)
def test_rule_9_a_part_of_an_object_does_not_show_its_version(
    kind, known: str | None, expected: str | None
) -> None:
    """The unseen fields may have been changed there."""
    causal = {} if kind in {WEBHOOK, LIST} else {"seen_revision": 5}
    part = seen("Eve", 11, kind, version="v2", unseen=frozenset({"phone"}), **causal)
    assert version_after(known, part) == expected


@pytest.mark.parametrize(("replayed", "expected"), [(False, "v2"), (True, None)])
def test_rule_9_a_new_mapping_has_the_version_of_its_object(
    replayed: bool, expected: str | None
) -> None:
    answer = seen("Ada", kind=ANSWER, record_id="r1", intent_id="k1", version="v2")
    outcome = take(CREATING, replace(answer, replayed=replayed))
    assert outcome.mapping.version == expected
    assert take(Situation(), seen("Ada", version="v2")).mapping.version == "v2"


@pytest.mark.parametrize("shown", ["ada", "Ada"])
def test_rule_9_a_value_that_the_external_system_refuses_is_not_sent_for_ever(shown: str) -> None:
    """Found by the search, in a world whose external system stores other values than it is sent.

    An update was answered with another value, which lost to the record's by policy, so the
    record's was sent again, and so on without end.
    """
    known = Situation(record("ADA"), mapping(), (intent("ADA"),))
    outcome = take(known, seen(shown, 10, ANSWER, seen_revision=5, intent_id="k1"))
    assert outcome.record_changes == {"/name": shown}
    (conflict,) = outcome.conflicts
    assert (conflict.internal, conflict.winner) == ("ADA", Side.EXTERNAL)
    assert conflict.policy is Ground.REWRITTEN


@pytest.mark.parametrize("policy", [INTERNAL_WINS, EXTERNAL_WINS])
def test_rule_9_a_later_edit_is_sent_although_the_one_before_was_refused(policy) -> None:
    known = Situation(record("Cyd"), mapping(), (intent("ADA"),))
    outcome = take(known, seen("ada", 10, ANSWER, seen_revision=5, intent_id="k1"), policy)
    assert (outcome.record_changes, outcome.conflicts) == ({}, ())
