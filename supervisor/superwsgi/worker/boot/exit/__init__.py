"""The end of a process: what the interpreter does at its exit, without what its siblings still need."""
