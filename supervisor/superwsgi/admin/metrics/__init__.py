"""The answer to /metrics."""
