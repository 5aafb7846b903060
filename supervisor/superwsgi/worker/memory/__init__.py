"""What of the worker's memory grows, and by which requests."""
