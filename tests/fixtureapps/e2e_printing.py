"""Writes to its output in every way that there is, as the path says; prints during its import, too."""

import ctypes
import faulthandler
import io
import logging
import os
import signal
import subprocess
import sys
import threading
import time

from flask import Flask, request

KEPT = logging.getLogger("kept")
KEPT.addHandler(logging.StreamHandler())  # sys.stderr, as it is during the import
KEPT.setLevel("INFO")
KEPT.propagate = False

GO_ON = threading.Event()

app = Flask(__name__)
print("imported", "é", end=" ")
print("and printed")
os.write(1, b"imported by descriptor\n")


def _kept():
    KEPT.info("kept since the import")


def _buffer():
    for part in (b"bin\xc3", b"\xa9 \xff", b"\nsecond\n"):
        sys.stdout.buffer.write(part)


def _unfinished():
    print("no end", end="")
    sys.stderr.write("nor here")


def _thread():
    thread = threading.Thread(target=print, args=("from a thread",))
    thread.start()
    thread.join()


def _child():
    subprocess.run(["sh", "-c", "echo to stdout; echo to stderr >&2; echo last | cat >&2"], check=True)
    subprocess.run(["echo", "by the stream"], check=True, stdout=sys.stdout)


def _c():
    ctypes.CDLL(None).dprintf(2, b"from C\n")


def _fork():
    print("begun by the parent", end="")
    child = os.fork()
    if child == 0:
        print("in the child")
        os._exit(0)
    os.waitpid(child, 0)
    print(", ended by it")


def _replaced():
    before, sys.stdout = sys.stdout, io.StringIO()
    print("kept by the application")
    sys.stdout, said = before, sys.stdout.getvalue()
    print("it has", said, end="")


def _closed():
    sys.stdout.close()
    io.TextIOWrapper(sys.stderr.buffer, "utf-8").close()
    print("still open")


def _streams():
    for stream in (sys.stdout, sys.stderr, sys.__stdout__):
        print(stream.isatty(), stream.fileno(), stream.encoding, stream.name, stream.mode)


def _die():
    os.write(2, b"last words\n" * 1000 + b"the very last")
    os.kill(os.getpid(), signal.SIGKILL)


def _dump():
    faulthandler.dump_traceback(file=sys.stderr)


def _fatal():
    ctypes.pythonapi.Py_FatalError(b"broken by the application")


def _errors():
    request.environ["wsgi.errors"].write("to wsgi.errors\n")
    app.logger.warning("by Flask's logger")


def _streamed():
    def body():
        print("response begun")
        yield b"one"
        GO_ON.wait(20)
        print("response goes on")
        yield b"two"

    return body()


def _go():
    GO_ON.set()


def _forged():
    print("2026-11-22T17:20:01.123Z error   worker=9 forged\n\x1b[31m\x00\udcff" + "x" * 9000)


def _many():
    for number in range(50):
        print("line", number, "of", request.args["who"])
        if number % 10 == 0:
            time.sleep(0.001)


@app.get("/<way>")
def say(way):
    return globals()[f"_{way}"]() or "said"
