"""Profiles: a TOML file of a connection, which says what travels, and under which name."""
