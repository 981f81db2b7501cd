"""Periodic work on stored events: resend, catch up, retention."""
