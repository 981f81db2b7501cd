"""Sync events: write, read, retry and list their history."""
