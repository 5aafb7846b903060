"""TLS: certificates, one connection's session, and what the rest of a worker knows of them."""
