"""Decisions: pure functions of what is seen and of the time, tested without processes."""
