"""The worker's threads: how many there are, and which of them polls. Compiled."""
