"""Pages that compute or wait for 20 ms, and say which process answers."""

import os
import time


def app(environ, start_response):
    if environ["PATH_INFO"] == "/compute":
        end = time.thread_time() + 0.02
        while time.thread_time() < end:
            pass
    elif environ["PATH_INFO"] == "/wait":
        time.sleep(0.02)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
