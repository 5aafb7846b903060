"""What a developer reads: in the terminal, and of a traceback anywhere."""
