"""The HTTP API: one file for each resource, errors as RFC 9457 problems."""
