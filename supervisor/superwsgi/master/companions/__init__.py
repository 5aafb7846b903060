"""Companions: programs of the release that serve no requests, supervised beside the workers."""
