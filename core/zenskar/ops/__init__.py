"""What operators see and do. The API and the command line share it."""
