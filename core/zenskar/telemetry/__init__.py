"""JSON logs and metrics. Nothing here holds a secret or personal data."""
