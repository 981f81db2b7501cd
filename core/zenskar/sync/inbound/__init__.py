"""Apply inbound events to records."""
