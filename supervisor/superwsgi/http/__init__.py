"""From bytes to a WSGI environ, and from an answer to bytes, without sockets and threads. Compiled."""
