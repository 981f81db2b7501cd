"""The services of both directions: they load, ask the kernel, store, and call the integration."""
