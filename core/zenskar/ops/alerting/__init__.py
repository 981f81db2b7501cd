"""Send notices to people: the plugin and its targets."""
