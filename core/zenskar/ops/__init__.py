"""The operations of operators, shared by the API and the command line."""
