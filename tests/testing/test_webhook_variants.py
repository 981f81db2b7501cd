"""The kit with webhooks that are not JSON, or whose signature or token is in another place."""

from collections.abc import Mapping

import pytest

from plugins.template.tests import test_conformance as template
from plugins.template.tests.crm import Crm
from tests.e2e.webhook_variants import (
    SECRET,
    ChallengingIntegration,
    FormIntegration,
    SoapIntegration,
    UrlSigningIntegration,
    form,
    notification,
    sign_url,
)
from zenskar.testing import CheckOutcome, IntegrationConformance, judge
from zenskar.testing.check_method import capability_of, checks_of
from zenskar_template import TemplateIntegration


class VariantCase(IntegrationConformance):
    settings = template.SETTINGS


class UrlSigning(VariantCase):
    integration = UrlSigningIntegration
    webhooks = ([{"kind": "contact.created", "contact": "c_1"}],)
    webhook_url = "https://zenskar.example/webhooks/crm?a=%2F"

    def sign(self, body: bytes, at: int) -> Mapping[str, str]:
        return sign_url(self.webhook_url, body, at)


class Soap(VariantCase):
    integration = SoapIntegration
    webhooks = (
        notification("e_1", "contact.created", "c_1"),
        notification("e_2", "contact.updated", "c_1"),
    )
    webhook_url = f"https://zenskar.example/webhooks/crm/{SECRET}"

    def sign(self, body: bytes, at: int) -> Mapping[str, str]:
        return {"Content-Type": "text/xml"}


class Form(VariantCase):
    integration = FormIntegration
    webhooks = (
        form("e_1", "contact.created", 1_799_999_000_000, {"id": "c_1", "full_name": "Ada"}),
        form("e_2", "contact.deleted", 1_799_999_001_000, {"id": "c_1"}),
    )

    def sign(self, body: bytes, at: int) -> Mapping[str, str]:
        return Crm().sign(body, at, SECRET)


class WithSchemas(ChallengingIntegration):
    """The same with the schemas of the template, which check its JSON."""

    __module__ = TemplateIntegration.__module__


class Challenging(Form):
    integration = WithSchemas
    webhooks = template.TestConformance.webhooks


CASES: Mapping[type[VariantCase], set[str]] = {
    UrlSigning: {"another_token_is_refused", "own_answers_are_valid"},
    Soap: {
        *("another_signature_is_refused", "a_missing_signature_is_refused"),
        *("hostile_signatures_are_refused", "a_changed_body_is_refused"),
        *("old_webhooks_are_refused", "future_webhooks_are_refused"),
        "a_changed_timestamp_is_refused",
    },
    Form: {"another_token_is_refused", "own_answers_are_valid"},
    Challenging: {"another_token_is_refused"},
}


@pytest.mark.parametrize("case", CASES)
def test_webhooks_of_any_kind_pass(case: type[VariantCase]) -> None:
    checks = checks_of(case).items()
    wanted = {name for name, each in checks if capability_of(each) in {"webhooks", "events"}}
    verdicts = judge(case, only=wanted)
    failed = {v.check: v.reason for v in verdicts if v.outcome is CheckOutcome.FAILED}
    assert failed == {}
    left_out = {v.check for v in verdicts if v.outcome is CheckOutcome.NOT_OFFERED}
    assert left_out == {f"test_{name}" for name in CASES[case]}
