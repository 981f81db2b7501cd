"""The one class that the author of a plugin subclasses."""

from zenskar.testing.check_method import keep_checks
from zenskar.testing.declaration_checks import DeclarationChecks
from zenskar.testing.event_checks import EventChecks
from zenskar.testing.failure_checks import FailureChecks
from zenskar.testing.feed_checks import FeedChecks
from zenskar.testing.life_checks import LifeChecks
from zenskar.testing.limit_checks import LimitChecks
from zenskar.testing.origin_checks import OriginChecks
from zenskar.testing.runtime_checks import RuntimeChecks
from zenskar.testing.state_checks import StateChecks
from zenskar.testing.translation_checks import TranslationChecks
from zenskar.testing.webhook_checks import WebhookChecks


class IntegrationConformance(
    DeclarationChecks,
    WebhookChecks,
    EventChecks,
    TranslationChecks,
    LifeChecks,
    FeedChecks,
    OriginChecks,
    StateChecks,
    FailureChecks,
    LimitChecks,
    RuntimeChecks,
):
    """All checks of an integration: subclass it in a test module, and pytest runs the checks.

    A check that needs a part which the subclass lacks is skipped, with the reason. A subclass
    cannot replace a check. A mark `xfail` or `skip` on an override needs a reason:

        @pytest.mark.xfail(reason="the external system shows no deleted objects")
        def test_a_delete_is_proven(self) -> None: ...
    """

    def __init_subclass__(cls) -> None:
        """Keep the checks of the kit; raises `TypeError` for an override without a reason."""
        super().__init_subclass__()
        keep_checks(cls)
