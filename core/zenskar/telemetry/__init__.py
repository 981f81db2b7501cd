"""JSON logs and metrics, without secrets and personal data."""
