"""Molds, workers and other children, as the master holds them: what they say, and how they end."""
