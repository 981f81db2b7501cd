"""The plugin framework: hook specs, the base class, loading and routing."""
