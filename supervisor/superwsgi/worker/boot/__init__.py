"""What runs once per mold or worker process: import, hooks, warm-up, forks, the end. Never compiled."""
