"""The checks of `zenskar doctor`."""
