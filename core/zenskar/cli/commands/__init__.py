"""The commands; each group has a file."""
