"""Pages that hold their thread: /wait until the file `go` is in the working folder, /loop without end."""

import time
from pathlib import Path


def app(environ, start_response):
    path = environ["PATH_INFO"]
    while path == "/loop":
        pass
    while path == "/wait" and not Path("go").exists():
        time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"done"]
