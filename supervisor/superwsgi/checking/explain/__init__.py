"""What would run, in plain words: from a site and the facts of this machine to a list of sections. Pure, but
for facts.py, which asks the machine; the command line prints it.
"""
