"""Listening sockets: bound, inherited, handed on, and the files of unix sockets."""
