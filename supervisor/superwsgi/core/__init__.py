"""The plain case of what is done for each request, in C: chosen.py has what there is of it."""
