"""Plan the repair of a connection, then apply exactly the planned repairs."""
