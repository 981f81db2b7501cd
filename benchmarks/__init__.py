"""What zenskar costs, beside what one would pick instead and beside the hand-written limit."""
