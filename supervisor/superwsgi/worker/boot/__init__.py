"""What runs once in a mold's or worker's process: import, hooks, warm-up, forks, the end. Never compiled."""
