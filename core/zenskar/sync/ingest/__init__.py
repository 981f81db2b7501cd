"""Ingest webhooks: verify, parse, and publish their events."""
