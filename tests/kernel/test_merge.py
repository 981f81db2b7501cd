"""The three-way merge, field by field."""

import pytest

from tests.kernel.cases import EXTERNAL_WINS, INTERNAL_WINS, SENT
from zenskar.kernel import ConflictPolicy, MergePolicy
from zenskar.kernel.merge import Merge, merge
from zenskar.model.interval import Interval
from zenskar.model.observation import Observation, ObservationKind
from zenskar.model.record import Intent, IntentKind, Record


def merged(internal, base, shown, *intents, policy=INTERNAL_WINS, **more) -> Merge:
    news = Observation(ObservationKind.WEBHOOK, "x1", Interval(0, 1), shown, **more)
    return merge(Record("r1", internal), base, news, intents, policy)


def push(changes, state=SENT) -> Intent:
    return Intent("k1", IntentKind.UPDATE, changes, state=state)


def test_each_field_is_merged_for_itself() -> None:
    result = merged({"/a": 1, "/b": 9}, {"/a": 1, "/b": 2}, {"/a": 5, "/b": 2})
    assert (result.changes, result.conflicts) == ({"/a": 5}, ())


def test_a_field_that_was_unset_there_is_unset_here() -> None:
    assert merged({"/a": 1}, {"/a": 1}, {}).changes == {"/a": None}


def test_a_field_that_was_unset_there_and_edited_here_is_a_conflict() -> None:
    result = merged({"/a": 2}, {"/a": 1}, {})
    assert [(c.path, c.base, c.internal, c.external) for c in result.conflicts] == [
        ("/a", 1, 2, None)
    ]
    assert merged({"/a": 2}, {"/a": 1}, {}, policy=EXTERNAL_WINS).changes == {"/a": None}


def test_a_field_that_was_unset_here_and_edited_there_is_a_conflict() -> None:
    (conflict,) = merged({}, {"/a": 1}, {"/a": 2}).conflicts
    assert (conflict.internal, conflict.external) == (None, 2)


def test_a_policy_may_differ_by_field() -> None:
    policy = MergePolicy(per_field={"metadata": ConflictPolicy.EXTERNAL_WINS})
    both = {"/metadata/plan": "x", "/name": "x"}
    result = merged(both, {}, {"/metadata/plan": "y", "/name": "y"}, policy=policy)
    assert (result.changes, len(result.conflicts)) == ({"/metadata/plan": "y"}, 2)


def test_the_policy_of_a_leaf_goes_before_that_of_its_field() -> None:
    per_field = {
        "metadata": ConflictPolicy.EXTERNAL_WINS,
        "/metadata/plan": ConflictPolicy.INTERNAL_WINS,
    }
    both = {"/metadata/plan": "x", "/metadata/tier": "x"}
    shown = {"/metadata/plan": "y", "/metadata/tier": "y"}
    result = merged(both, {}, shown, policy=MergePolicy(per_field=per_field))
    assert (result.changes, len(result.conflicts)) == ({"/metadata/tier": "y"}, 2)


@pytest.mark.parametrize(("written", "shown"), [(2, {"/a": 2}), (None, {})])
def test_what_we_wrote_or_unset_ourselves_is_left_alone(written, shown) -> None:
    result = merged({"/a": 3}, {"/a": 1}, shown, push({"/a": written}))
    assert (result.changes, result.conflicts) == ({}, ())


def test_a_field_that_our_push_did_not_touch_is_an_edit() -> None:
    assert merged({"/a": 1}, {"/a": 1}, {"/a": 2}, push({"/b": 2})).changes == {"/a": 2}


def test_what_the_external_system_made_of_our_own_push_is_taken_over() -> None:
    sent = push({"/a": "X", "/b": "Y"})
    result = merged({"/a": "X", "/b": "Z"}, {}, {"/a": "x", "/b": "y"}, sent, origin_key="k1")
    assert result.changes == {"/a": "x"}
    assert [c.path for c in result.conflicts] == ["/a"]
