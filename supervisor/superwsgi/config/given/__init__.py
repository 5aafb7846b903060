"""What is said of a site outside of its file: by a command line, the environment and pyproject.toml."""
