"""USR2: another program in the master's place, with its sockets, molds and workers."""
