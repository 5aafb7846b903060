"""TLS: certificates, one connection's session, and the interface that the rest of a worker sees."""
