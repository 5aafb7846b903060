"""Commands that need no running site."""
