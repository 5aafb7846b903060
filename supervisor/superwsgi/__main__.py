"""`python -m superwsgi` is the command `superwsgi`."""

from superwsgi.cli import main

main(prog_name="superwsgi")
