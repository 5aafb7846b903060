"""From bytes to a WSGI environ, and from an answer to bytes: no sockets, no threads. Compiled."""
