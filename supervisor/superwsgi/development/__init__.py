"""`superwsgi dev`: a master that is told of every change, and what is shown meanwhile."""
