"""Read the state of the whole system."""
