"""Retries, rate limits, the circuit breaker and the delete guard."""
