"""Listening sockets: bound, inherited, handed on, and the files of those that have one."""
