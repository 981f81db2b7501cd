"""The workers: they take messages off the bus and hand them to the sync services."""
