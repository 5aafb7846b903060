"""Notes each import of itself, and says which process answers."""

import os

with open("imports", "a") as file:
    file.write(f"{os.getpid()}\n")


def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
