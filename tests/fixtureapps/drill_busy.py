"""An application that keeps processes and files: pools, programs that it runs, temporary folders.

Every answer is `<token of the query> <process id>`. With DRILL_HAZARD set, its pool is made at import.
"""

import functools
import multiprocessing
import os
import subprocess
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

FORKS = threading.Lock()
"""A program waits for ever for the end of a pipe of which a fork in another thread has a copy."""

FOLDER = tempfile.TemporaryDirectory(prefix="import-")


@functools.cache
def executor():
    return ProcessPoolExecutor(2)


def same(text):
    return text


if os.environ.get("DRILL_HAZARD"):
    executor().submit(int).result()


def pool(text):
    with FORKS:
        workers = multiprocessing.Pool(2)
    with workers:
        return workers.map(same, [text])[0]


def submitted(text):
    with FORKS:
        future = executor().submit(same, text)
    return future.result()


def run(text):
    with FORKS:
        return subprocess.run(["cat"], input=text, capture_output=True, text=True, check=True).stdout


def left(text):
    with FORKS:
        subprocess.Popen(["sleep", "0.3"])
    return text


def kept(text):
    """In a file of the folder that the import has made."""
    with tempfile.NamedTemporaryFile("w+", dir=FOLDER.name) as file:
        file.write(text)
        file.flush()
        return Path(file.name).read_text()


WORK = {"/": same, "/pool": pool, "/submitted": submitted, "/run": run, "/left": left, "/kept": kept}


def app(environ, start_response):
    said = WORK[environ["PATH_INFO"]](environ["QUERY_STRING"])
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{said} {os.getpid()}".encode()]
