"""Whether a new generation answers worse than the one before it."""
