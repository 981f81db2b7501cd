"""Poll external systems: read their feeds, and publish the events."""
