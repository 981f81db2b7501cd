"""What is compared with zenskar, each as a program of its own; it imports nothing of zenskar."""
