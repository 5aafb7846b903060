"""Twenty pages, of which one leaks as many KiB a request as LEAKS says, really used; or, with PLACES, has a
cache of so many."""

import os

SIZE = 1024 * int(os.environ.get("LEAKS", "0"))
PLACES = int(os.environ.get("PLACES", "0"))

kept = []


def app(environ, start_response):
    if environ["PATH_INFO"] == "/h" and (not PLACES or len(kept) < PLACES):
        kept.append(b"x" * SIZE)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
