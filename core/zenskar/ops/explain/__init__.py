"""Explain the history of one record: each step with its cause, each field with its origin."""
