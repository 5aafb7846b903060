"""What workers are asked to tell: where their threads are, once or over a while."""
