"""The actions of operators, their sessions, and the runs that they request."""
