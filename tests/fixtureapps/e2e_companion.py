"""A companion: says in a file called after it when it begins and ends, and if it is not alone meanwhile.
Its argument is what it does wrong.
"""

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

NAME = f"{os.environ['SUPERWSGI_COMPANION']}-{os.environ['SUPERWSGI_COMPANION_NUMBER']}"
WRONG = sys.argv[1] if len(sys.argv) > 1 else ""


def say(what, **more):
    with open(f"{NAME}.said", "a") as file:
        file.write(json.dumps({"what": what, "pid": os.getpid(), **more}) + "\n")


def alone():
    """Nobody has the lock beside us and our children."""
    lock = open(f"{NAME}.lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("two at once")
    return lock


def end(*_):
    say("ends")
    sys.exit(0)


lock = alone()
signal.signal(signal.SIGTERM, end)
if WRONG == "stubborn" or (WRONG == "child" and os.fork() == 0):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if WRONG == "daemon" and (os.fork() or os.setsid() or os.fork()):
    os._exit(0)
say(
    "begins",
    folder=str(Path.cwd()),
    who=os.environ.get("WHO"),
    path=os.environ["PATH"].split(":")[0],
    files={fd: str(Path(f"/proc/self/fd/{fd}").readlink()) for fd in range(3)},
    session=os.getsid(0),
    ids=[os.getuid(), os.getgid()],
)
print(f"{NAME} is here", flush=True)
grown = bytearray(int(WRONG) << 20) if WRONG.isdigit() else b""
while True:
    time.sleep(60)
