"""Does what an application should not, by path: dies, hangs, takes all there is. Otherwise says which process
answers."""

import ctypes
import logging
import os
import signal
import sys
import threading
import time

hoard = []
LOG = logging.StreamHandler()
logging.getLogger("drill").addHandler(LOG)


def sends(number):
    return lambda: os.kill(os.getpid(), number)


def reads_nowhere():
    ctypes.string_at(8)


def stops():
    """This thread may go on for a moment: it is the main thread that takes the signal."""
    os.kill(os.getpid(), signal.SIGSTOP)
    time.sleep(600)


def loops():
    while True:
        pass


def holds_the_gil():
    """ctypes.PyDLL does not give it back while it calls."""
    ctypes.PyDLL(None).sleep(600)


def calls_from_another_thread(work):
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    thread.join()


def eats_memory():
    while True:
        hoard.append(b"x" * (8 << 20))
        time.sleep(0.01)


def locks_the_log():
    """As a handler does that waits for something which never comes."""
    LOG.acquire()
    time.sleep(600)


FAULTS = {
    "/kill": sends(signal.SIGKILL),
    "/segv": reads_nowhere,
    "/abort": os.abort,
    "/exit": lambda: os._exit(7),
    "/leave": lambda: sys.exit(7),
    "/stop": stops,
    "/loop": loops,
    "/gil": holds_the_gil,
    "/memory": eats_memory,
    "/slow": lambda: time.sleep(0.7),
    "/sleep": lambda: time.sleep(600),
    "/lock": locks_the_log,
    "/log": lambda: logging.getLogger("drill").warning("said"),
}


def app(environ, start_response):
    if environ["PATH_INFO"] == "/loud":
        environ["wsgi.errors"].writelines(["x" * 999 + "\n"] * 200)
    FAULTS.get(environ["PATH_INFO"], lambda: None)()
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [str(os.getpid()).encode()]
