"""Long drills: a site under load to which everything happens that happens to sites, for minutes."""
