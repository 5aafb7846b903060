"""Leaks memory, really used: as much as the path says, in KiB, each request."""

import os

leaked = []


def app(environ, start_response):
    leaked.append(b"x" * (1024 * int(environ["PATH_INFO"].strip("/") or 0)))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
