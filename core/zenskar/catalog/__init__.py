"""The catalog: create, read, change and delete customers; independent of HTTP."""
