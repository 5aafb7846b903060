"""How many workers a site has, where `workers` is a range."""
