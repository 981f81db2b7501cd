"""Decide on records in memory, between a load under locks and a write."""
