"""The admin process as the master sees it: what it needs, its sockets, its life."""
