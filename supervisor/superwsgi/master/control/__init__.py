"""The control socket: where it is, who may ask, and what is answered."""
