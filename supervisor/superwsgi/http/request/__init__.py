"""Requests in: where a message ends, and what it says."""
