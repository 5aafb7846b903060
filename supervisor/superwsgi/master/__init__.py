"""The process that decides: one thread, one event loop, and never any application code."""
