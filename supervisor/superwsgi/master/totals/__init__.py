"""What a site has counted: in all, and by group of paths."""
