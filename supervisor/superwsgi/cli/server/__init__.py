"""Commands that speak with the master of a running site."""
