"""A site and its task queue: an application that answers, and celery, whose worker says if it is not alone.

A worker says which tasks it has received: from then on they are the broker's until it has acknowledged them,
which it does once they are done.
"""

import fcntl
import os
import time
from pathlib import Path

from celery import Celery
from celery.signals import task_received, worker_init

HERE = Path(os.environ["DRILL_FOLDER"])
RESTORED = 3
"""Seconds after which the broker gives a task to another worker that nobody has acknowledged."""

queue = Celery("drill", broker=f"redis+socket://{HERE}/redis.sock")
queue.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=1,
    broker_transport_options={"visibility_timeout": RESTORED},
    broker_connection_retry_on_startup=True,
    task_ignore_result=True,
)
locks = []


def say(name, what):
    with open(HERE / name, "a") as file:
        file.write(f"{what}\n")


@worker_init.connect
def begin(**_):
    """Its children inherit the lock."""
    locks.append(open(HERE / "lock", "w"))
    say("workers", os.getpid())
    try:
        fcntl.flock(locks[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("two", os.getpid())


@task_received.connect
def take(request, **_):
    say("received", request.id)


@queue.task
def note(number):
    time.sleep(0.02)
    say("done", number)


def app(environ, start_response):
    start_response("200 OK", [])
    return [b"drill"]
