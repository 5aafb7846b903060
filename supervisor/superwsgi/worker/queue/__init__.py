"""Requests that wait for a thread, which of them is next, and which is refused. Compiled."""
