"""Frozen values that flow through zenskar; standard library only."""
