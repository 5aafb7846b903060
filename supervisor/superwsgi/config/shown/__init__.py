"""Keys as somebody reads them: all that there are, and those of a site that runs."""
