"""Real work: the applications that servers run, their database, their clients, and what answers must be."""
