"""The superwsgi command: one file a command."""

from superwsgi.cli import imports, interrupts, standard_descriptors

standard_descriptors.provide()  # first: a library that glibc 2.43 loads while 0 is free keeps it

with interrupts.quiet(), imports.uncollected():
    from superwsgi.cli.main import main

__all__ = ["main"]
