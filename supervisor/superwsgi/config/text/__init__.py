"""From files to a Site: trees of text with places, variables in them, and the walk along the schema."""
