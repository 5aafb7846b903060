"""What a request asks of a file: which form of it, which part, and under which conditions."""
