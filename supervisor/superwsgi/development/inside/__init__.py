"""What runs in molds and workers of a site that is being developed, around its application."""
