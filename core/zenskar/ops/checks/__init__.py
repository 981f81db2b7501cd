"""Check every part of an installation, and try out the profile of a connection."""
