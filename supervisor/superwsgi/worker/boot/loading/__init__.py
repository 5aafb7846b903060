"""From a site to an application that can serve: its surroundings, import, hooks and first requests."""
