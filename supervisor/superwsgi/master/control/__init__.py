"""The control socket: where it is, who may use it, and what it answers."""
