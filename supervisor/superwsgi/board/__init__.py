"""What workers do and have counted: shared memory, its layout, and the numbers that are read from it."""
