"""`zenskar dev`: every part of zenskar in one process."""
