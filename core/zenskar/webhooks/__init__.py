"""Verify and identify webhooks: optional helpers for `verify_webhook` and `parse_webhook`."""

from zenskar.webhooks.digests import event_digest
from zenskar.webhooks.signatures import split_secrets, verify_age, verify_hmac
from zenskar.webhooks.tokens import verify_token

__all__ = ["event_digest", "split_secrets", "verify_age", "verify_hmac", "verify_token"]
