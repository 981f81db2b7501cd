"""Every name of a history entry's member is declared once."""

from zenskar.db.personal_data import _KEPT
from zenskar.model.actor import Actor
from zenskar.model.history_detail import ConflictDetail, HistoryDetail
from zenskar.ops.events import _NAMES, _VALUES
from zenskar.ops.explain.model import ConflictSeen

DECLARED = set(HistoryDetail.__annotations__)
TEXTS = {"error_message", "message", "added"}
"""Members that erasing a customer removes although they are no fields of it."""


def test_other_modules_name_declared_members_only() -> None:
    assert DECLARED >= _KEPT | _VALUES
    assert set(ConflictDetail.__annotations__) >= _NAMES


def test_each_member_is_kept_or_removed_when_a_customer_is_erased() -> None:
    assert DECLARED == _KEPT | _VALUES | TEXTS


def test_a_conflict_is_explained_with_all_its_members() -> None:
    assert set(ConflictSeen.__dataclass_fields__) == set(ConflictDetail.__annotations__)


def test_an_actor_is_named_with_its_place() -> None:
    assert Actor("ada", "the API").detail == {"by": "ada", "from": "the API"}
