"""One client's connection: its state, its way out, and what that may keep. Compiled."""
