"""The plugin framework: hook specifications, the base class, discovery and routing."""
