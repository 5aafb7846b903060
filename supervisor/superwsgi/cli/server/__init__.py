"""Commands that ask the master of a running site, and how it is found and spoken to."""
