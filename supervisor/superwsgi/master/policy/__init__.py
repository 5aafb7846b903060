"""Decisions: pure functions of a view and the time, tested without processes."""
