"""Pages that wait for real servers: PostgreSQL by a psycopg pool, redis, and another web server by requests.
Each tells the number that it was asked for, as the server has told it."""

import os

import psycopg_pool
import redis
import requests
from flask import Flask

app = Flask(__name__)
pool = psycopg_pool.ConnectionPool(os.environ["DATABASE"], min_size=0, max_size=60, open=False)
store = redis.Redis(unix_socket_path=os.environ["REDIS"])


def after_fork(worker):
    pool.open()


@app.get("/postgresql/<int:number>")
def of_postgresql(number):
    """Once somebody has unlocked it."""
    with pool.connection() as connection:
        connection.execute("SELECT pg_advisory_xact_lock_shared(7)")
        return str(connection.execute("SELECT %s::int", [number]).fetchone()[0])


@app.get("/redis/<int:number>")
def of_redis(number):
    """Once somebody has pushed it."""
    _, said = store.blpop([f"list-{number}"], timeout=60)
    return said.decode()


@app.get("/http/<int:number>")
def of_http(number):
    return requests.get(f"{os.environ['OTHER']}/{number}", timeout=60).text
