"""The bus: what carries messages between the processes."""
