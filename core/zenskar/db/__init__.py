"""Tables and queries, one file per aggregate. Every function works in the caller's transaction."""
