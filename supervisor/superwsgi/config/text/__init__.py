"""From text to values: YAML, variables, and a grammar for each kind of value."""
