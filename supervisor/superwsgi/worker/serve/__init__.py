"""The request path: equal threads around one epoll, from accept to the end of a connection. Compiled."""
