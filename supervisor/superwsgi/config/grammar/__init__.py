"""From the text of one value to the value: a grammar for each kind. No files, no places in them."""
