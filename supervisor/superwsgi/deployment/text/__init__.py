"""How texts of other programs are made: their templates filled in, and words as they spell them."""
