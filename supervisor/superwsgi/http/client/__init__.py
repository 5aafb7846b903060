"""Who the client is, by its own address and by what proxies say about it."""
