"""The contenders of zenskar, each as a separate program that imports nothing of zenskar."""
