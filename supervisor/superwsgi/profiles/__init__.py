"""What to make of a profile: a flame graph, files for other programs, a few lines of text."""
