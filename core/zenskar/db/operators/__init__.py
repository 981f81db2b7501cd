"""The actions of operators, and their sessions."""
