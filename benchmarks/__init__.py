"""The cost of zenskar, beside its alternatives and beside the hand-written limit."""
