"""What takes too long, and what follows."""
