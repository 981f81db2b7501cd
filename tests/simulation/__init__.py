"""The real services, a real database and the Stripe sandbox, under faults chosen by a seed."""
