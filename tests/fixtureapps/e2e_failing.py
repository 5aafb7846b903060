"""Answers so many of a hundred requests with a 500: every page alike, or only those below `/bad`."""

import itertools

FAILS = 0  # deploys write another number
ONLY = "/"

numbers = itertools.count()


def app(environ, start_response):
    failed = environ["PATH_INFO"].startswith(ONLY) and next(numbers) * 37 % 100 < FAILS
    start_response("500 Internal Server Error" if failed else "200 OK", [("Content-Type", "text/plain")])
    return [b"failed" if failed else b"fine"]
