"""Read the state of the whole system, and of the messages on its bus."""
