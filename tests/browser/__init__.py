"""The console in a real Chromium, by `make test-console` only."""
