"""Pages that hold a thread until the file `go` is in the working folder: /reports/N are slow, /events is a
stream; everything else is answered at once."""

import time
from pathlib import Path

GO = Path("go")


def app(environ, start_response):
    what = environ["PATH_INFO"].split("/")[1]
    if what == "reports":
        for _ in events():
            pass
    start_response("200 OK", [("Content-Type", "text/event-stream" if what == "events" else "text/plain")])
    return events() if what == "events" else [b"quick"]


def events():
    yield b": begun\n\n"
    while not GO.exists():
        time.sleep(0.05)
        yield b": \n\n"
