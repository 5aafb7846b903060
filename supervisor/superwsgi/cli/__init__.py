"""The superwsgi command: one file a command."""

from superwsgi.cli.main import main

__all__ = ["main"]
