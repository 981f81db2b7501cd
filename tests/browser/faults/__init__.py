"""The faults of docs/console.md, each seen and ended in the console, with its clicks counted."""
