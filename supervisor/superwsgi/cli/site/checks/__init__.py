"""What `superwsgi check` prints."""
