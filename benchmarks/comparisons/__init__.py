"""A module for each comparison: `TITLE`, and `run(bench)`."""
