"""The superwsgi command: one file a command."""

from superwsgi.cli import standard_descriptors

standard_descriptors.provide()  # first: a library that glibc 2.43 loads while 0 is free keeps it

from superwsgi.cli.main import main  # noqa: E402

__all__ = ["main"]
