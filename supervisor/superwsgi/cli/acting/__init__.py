"""Commands that change a running site, and show how that goes."""
