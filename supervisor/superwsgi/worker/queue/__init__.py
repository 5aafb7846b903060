"""Requests that wait for a thread, and which of them is next. Compiled."""
