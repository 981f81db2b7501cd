"""The catalog: create, read, change and delete customers. It knows nothing of HTTP."""
