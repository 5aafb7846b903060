"""Nothing runs any more: since when, what fails, and that it is over."""
