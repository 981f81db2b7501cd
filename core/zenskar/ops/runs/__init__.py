"""Runs on a whole connection: request, carry out beside other work, watch, stop."""
