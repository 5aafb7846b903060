"""An event stream at /events; /tell puts an event into the queue of each, /open says how many there are."""

import queue

OPEN = []


def app(environ, start_response):
    path = environ["PATH_INFO"]
    events = path.startswith("/events")
    start_response("200 OK", [("Content-Type", "text/event-stream" if events else "text/plain")])
    if path == "/tell":
        for each in list(OPEN):
            each.put(b"data: told\n\n")
    return stream() if events else [str(len(OPEN)).encode()]


def stream():
    own = queue.Queue()
    OPEN.append(own)
    try:
        yield b": begun\n\n"
        while True:
            yield own.get()
    finally:
        OPEN.remove(own)
