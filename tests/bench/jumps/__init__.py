"""How far a reader has to jump to follow what happens once: files of superwsgi that it touches, and changes
from one file to another. `python -m tests.bench.jumps get` runs one of the stories that this folder has."""
