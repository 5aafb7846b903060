"""The bench: this server and its peers on the same work in one run. `python -m tests.bench --help`."""
