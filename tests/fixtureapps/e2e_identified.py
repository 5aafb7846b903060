"""Says the id of its request; fails, is stuck or chooses an id of its own where the path says so."""

import time


def app(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/fails":
        raise ValueError
    if path == "/stuck":
        time.sleep(5)
    fields = [("Content-Type", "text/plain")]
    if path == "/own":
        fields.append(("X-Request-ID", "own"))
    start_response("200 OK", fields)
    return [environ["HTTP_X_REQUEST_ID"].encode()]
