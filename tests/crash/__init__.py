"""Real worker processes, killed by the kernel between any two steps."""
