"""Flask with a database: one product list, one row, twenty rows, fortunes, and an upload.

The pool is opened at the first page: in the process that serves, and by its kind of thread, whoever imports
this and whenever it forks.
"""

from __future__ import annotations

import os
import random
import threading
import zlib

from flask import Flask, Response, jsonify, render_template, request
from psycopg_pool import ConnectionPool

from tests.bench.real.data import ADDED, DATABASE, LISTED, POOL, POSTGRES, PRODUCTS, ROWS, USER

app = Flask(__name__)

CHUNK = 64 << 10

_LOCK = threading.Lock()
_POOLS: list[ConnectionPool] = []


def pool() -> ConnectionPool:
    """Read only and by autocommit, which spares each page two turns to the database."""
    with _LOCK:
        if not _POOLS:
            where = f"host={os.environ[POSTGRES]} user={USER} dbname={DATABASE}"
            _POOLS.append(ConnectionPool(where, min_size=POOL, max_size=POOL, kwargs={"autocommit": True}))
    return _POOLS[0]


@app.get("/")
def hello() -> str:
    return "Hello, world!"


@app.get("/json")
def json() -> Response:
    return jsonify(PRODUCTS)


@app.get("/row")
def row() -> Response:
    with pool().connection() as connection:
        found = connection.execute(
            "SELECT id, number FROM world WHERE id = %s", [random.randint(1, ROWS)]
        ).fetchone()
    return jsonify(id=found[0], number=found[1])


@app.get("/rows")
def rows() -> Response:
    with pool().connection() as connection:
        found = connection.execute(
            "SELECT id, number FROM world WHERE id >= %s ORDER BY id LIMIT %s",
            [random.randint(1, ROWS - LISTED), LISTED],
        ).fetchall()
    return jsonify([{"id": id, "number": number} for id, number in found])


@app.get("/fortunes")
def fortunes() -> str:
    with pool().connection() as connection:
        found = connection.execute("SELECT id, message FROM fortune").fetchall()
    shown = [{"id": id, "message": message} for id, message in [*found, (0, ADDED)]]
    shown.sort(key=lambda fortune: fortune["message"])
    return render_template("fortunes.html", fortunes=shown)


@app.post("/upload")
def upload() -> str:
    """How many bytes came."""
    count = 0
    while chunk := request.stream.read(CHUNK):
        count += len(chunk)
    return str(count)


@app.post("/upload/checked")
def checked() -> str:
    """Their checksum, which would cost as much as the rest of an upload."""
    checksum = 0
    while chunk := request.stream.read(CHUNK):
        checksum = zlib.crc32(chunk, checksum)
    return str(checksum)
