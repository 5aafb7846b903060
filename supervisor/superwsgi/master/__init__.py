"""The process that decides: one thread, one event loop, and no application code, ever."""
