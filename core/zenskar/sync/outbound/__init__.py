"""Push records to external systems: plan, call, observe, until both sides are equal."""
