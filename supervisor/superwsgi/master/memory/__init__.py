"""What the memory of workers does: how it grows, because of whom, and when there is no more."""
