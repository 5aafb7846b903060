"""What `superwsgi check` has a mold do instead of serving."""
