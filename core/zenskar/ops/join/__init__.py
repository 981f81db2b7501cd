"""Join two systems that are both full: plan all links and creates, then apply exactly these."""
