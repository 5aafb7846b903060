"""Versions of configuration and application: how one is loaded, takes over, and is given up."""
