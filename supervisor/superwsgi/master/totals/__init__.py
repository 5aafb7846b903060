"""What a site has counted: in all, in the last minute, by group of paths."""
