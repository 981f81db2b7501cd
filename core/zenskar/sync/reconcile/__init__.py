"""Compare both sides, report drift, repair it, and import what is missing."""
