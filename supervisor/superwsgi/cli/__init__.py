"""The superwsgi command: one file a command."""

from superwsgi.cli import standard

standard.provide()  # first: a library that glibc 2.43 loads while 0 is free keeps it

from superwsgi.cli.main import main  # noqa: E402

__all__ = ["main"]
