"""What the kernel gives and says: rights, descriptors, signals, processes, the machine. No site, no HTTP."""
