"""Plugins that are wrong about feeds, batches, pages, times, versions and memos."""

import itertools
import uuid
from dataclasses import replace
from typing import Any, ClassVar

from tests.testing.broken import broken
from tests.testing.variants import StatefulCase, StatefulIntegration
from zenskar import Changes, ExternalObject, FailureKind, Page
from zenskar.http import classify
from zenskar_template import TemplateIntegration


def wrong(*checks: str) -> Any:
    """Register an integration with the stateful CRM."""
    return broken(*checks, base=StatefulCase, patience_seconds=1.0)


# --- feeds ----------------------------------------------------------------------------------


@wrong("a_feed_reports_changes")
class HidesDeletes(StatefulIntegration):
    async def changes(self, checkpoint):
        part = await super().changes(checkpoint)
        return replace(part, events=tuple(each for each in part.events if each.seen))


@wrong("a_feed_reports_changes")
class UsesTheIdOfTheObject(StatefulIntegration):
    async def changes(self, checkpoint):
        part = await super().changes(checkpoint)
        shown = [each for each in part.events if each.seen]
        return replace(part, events=tuple(replace(e, id=e.seen.external_id) for e in shown))


@wrong("a_checkpoint_that_is_read_again_is_free")
class MakesNewIds(StatefulIntegration):
    async def changes(self, checkpoint):
        part = await super().changes(checkpoint)
        events = (replace(each, id=str(uuid.uuid4())) for each in part.events)
        return replace(part, events=tuple(events))


@wrong("a_feed_advances")
class StaysAtTheCheckpoint(StatefulIntegration):
    async def changes(self, checkpoint):
        part = await super().changes(checkpoint)
        return replace(part, checkpoint=checkpoint or "0", more=False)


@wrong("lost_changes_are_reported")
class ForgetsTheLoss(StatefulIntegration):
    async def changes(self, checkpoint):
        return replace(await super().changes(checkpoint), lost=False)


@wrong("lost_changes_are_reported")
class LosesAgainAndAgain(StatefulIntegration):
    async def changes(self, checkpoint):
        part = await super().changes(checkpoint)
        return Changes(part.events, checkpoint or "0", lost=True) if part.lost else part


@wrong("a_feed_names_the_origin")
class InventsOrigins(StatefulIntegration):
    async def changes(self, checkpoint):
        part = await super().changes(checkpoint)
        return replace(part, events=tuple(replace(e, origin_key="ours") for e in part.events))


@broken("a_webhook_names_the_origin")
class InventsOriginsOfWebhooks(TemplateIntegration):
    def parse_webhook(self, request, body):
        events = super().parse_webhook(request, body)
        return [replace(each, origin_key="ours") for each in events]


@broken("a_webhook_names_the_origin", patience_seconds=1.0)
class ReadsNoOwnEvents(TemplateIntegration):
    def parse_webhook(self, request, body):
        events = super().parse_webhook(request, body)
        return [each for each in events if each.seen and not each.seen.record_id]


# --- batches and pages ----------------------------------------------------------------------


@wrong("many_objects_are_fetched_as_one_is")
class ShowsUnknownObjects(StatefulIntegration):
    async def fetch_many(self, entity_type, external_ids):
        seen = await super().fetch_many(entity_type, external_ids)
        known = {each.external_id for each in seen}
        lost = [each for each in external_ids if each not in known]
        return [*seen, *(ExternalObject(entity_type, each, None) for each in lost)]


@wrong("many_objects_are_fetched_as_one_is")
class ForgetsVersionsInBatches(StatefulIntegration):
    async def fetch_many(self, entity_type, external_ids):
        seen = await super().fetch_many(entity_type, external_ids)
        return [replace(each, version=None) for each in seen]


@wrong("the_largest_batch_is_fetched")
class CutsBatches(StatefulIntegration):
    async def fetch_many(self, entity_type, external_ids):
        return await super().fetch_many(entity_type, external_ids[:4])


@broken("pages_do_not_shift")
class PagesByOffset(TemplateIntegration):
    async def list_page(self, entity_type, cursor):
        first = int(cursor or 0)
        answer = await self._crm.request("GET", "/contacts", params={"limit": 1000})
        contacts = answer.body["contacts"]
        seen = [
            ExternalObject(entity_type, each["id"], each) for each in contacts[first : first + 100]
        ]
        return Page(tuple(seen), str(first + 100) if len(contacts) > first + 100 else None)


# --- times, versions, memos -----------------------------------------------------------------


@broken("answers_have_their_second")
class ForgetsTheSecond(TemplateIntegration):
    async def fetch(self, entity_type, external_id):
        return replace(await super().fetch(entity_type, external_id), answered_at=None)


@broken("answers_have_their_second")
class CountsMilliseconds(TemplateIntegration):
    async def fetch(self, entity_type, external_id):
        seen = await super().fetch(entity_type, external_id)
        return replace(seen, answered_at=seen.answered_at * 1000)


@broken("webhooks_have_the_second_of_their_sending")
class UsesTheSecondOfReceipt(TemplateIntegration):
    def parse_webhook(self, request, body):
        events = super().parse_webhook(request, body)
        return [replace(each, sent_at=int(request.received_at)) for each in events]


@wrong("a_version_names_a_state")
class VersionsTheObject(StatefulIntegration):
    async def push(self, push):
        result = await super().push(push)
        return replace(result, seen=replace(result.seen, version=result.seen.external_id))

    async def fetch(self, entity_type, external_id):
        return replace(await super().fetch(entity_type, external_id), version=external_id)


@wrong("a_push_to_another_version_is_refused")
class SendsNoCondition(StatefulIntegration):
    def condition(self, push):
        return {}


@wrong("a_push_to_another_version_is_refused")
class TakesStaleForRejected(StatefulIntegration):
    kinds: ClassVar = {412: FailureKind.REJECTED}

    def classify_error(self, error):
        return classify(error, self.kinds) or super().classify_error(error)


@wrong("a_push_without_a_version_is_accepted")
class AlwaysSendsACondition(StatefulIntegration):
    def condition(self, push):
        return {"If-Match": str(push.if_version)} if push.external_id else {}


@wrong("equal_states_have_equal_memos")
class CountsLooks(StatefulIntegration):
    numbers: ClassVar = itertools.count()

    async def fetch(self, entity_type, external_id):
        seen = await super().fetch(entity_type, external_id)
        return replace(seen, memo={"look": next(self.numbers)})


@wrong("equal_states_have_equal_memos")
class BloatsMemos(StatefulIntegration):
    async def fetch(self, entity_type, external_id):
        return replace(await super().fetch(entity_type, external_id), memo={"x": "x" * 5000})


@wrong("a_memo_is_not_changed")
class ChangesTheMemo(StatefulIntegration):
    def from_canonical(self, change):
        if change.memo is not None:
            change.memo["letters"] += 1
        return super().from_canonical(change)


# --- the whole runtime ----------------------------------------------------------------------

IMPATIENT: dict[str, Any] = {"patience_seconds": 4.0}


@broken("changes_of_both_sides_arrive", **IMPATIENT)
class IgnoresEdits(TemplateIntegration):
    def parse_webhook(self, request, body):
        known = body["type"] != "contact.updated"
        return super().parse_webhook(request, body if known else {**body, "type": "unknown"})


@broken("faults_leave_both_sides_equal", "a_killed_worker_loses_nothing", **IMPATIENT)
class ForgetsItsObjects(TemplateIntegration):
    """Stores no record id, so that a lost create is made again."""

    def from_canonical(self, change):
        body = super().from_canonical(change)
        return {name: value for name, value in body.items() if name != "external_ref"}
