"""Responses out: PEP 3333, heads, files."""
