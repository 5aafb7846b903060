"""Versions of configuration and application: how one is loaded, takes over, or is given up."""
