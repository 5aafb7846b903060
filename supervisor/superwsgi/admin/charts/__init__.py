"""What the charts of the page show: the last hour, and what happened in it."""
