"""The actions of operators."""
