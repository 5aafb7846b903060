"""The Flask application that every server runs; it says when it was loaded, which proves a reload."""

import time

from flask import Flask

LOADED = time.monotonic_ns()

app = Flask(__name__)


@app.get("/")
def hello() -> str:
    return "Hello, world!"


@app.get("/loaded")
def loaded() -> str:
    return str(LOADED)
