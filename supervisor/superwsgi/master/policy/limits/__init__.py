"""When a single process has to go: it uses too much memory, is silent, stopped or old. Pure numbers."""
