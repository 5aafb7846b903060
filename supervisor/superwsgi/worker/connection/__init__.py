"""One client's connection: its state, what is sent to it, and how much of that may be kept. Compiled."""
