"""Code in a worker that sends on its channel what it likes: the path names what."""

import array
import contextlib
import os
import socket
import time
from pathlib import Path


def channels():
    """The worker's end of its channel: the one packet socket that it has."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            sock = socket.socket(fileno=os.dup(int(link.name)))
            if (sock.family, sock.type) == (socket.AF_UNIX, socket.SOCK_SEQPACKET):
                yield int(link.name), sock


def boards():
    """The scoreboard's descriptor."""
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if "scoreboard" in str(link.readlink()):
                yield int(link.name)


def say(*words):
    for _, sock in channels():
        for word in words:
            sock.send(word)


def descriptors(sock, count=200, times=20):
    fds = [os.open("/dev/null", os.O_RDONLY) for _ in range(count)]
    rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
    try:
        for _ in range(times):
            sock.sendmsg([b'{"type":"recycle","reason":"more"}'], rights)
    finally:
        for fd in fds:
            os.close(fd)


def flood():
    with contextlib.suppress(OSError):
        while True:
            say(b'{"type":"recycle","reason":"again"}')


def incidents():
    word = b'{"type":"wentwrong","level":"error","event":"x","fields":{"detail":"1","level":"2"}}'
    with contextlib.suppress(OSError):
        for _, sock in channels():
            while True:
                sock.send(word)


def leaks():
    word = b'{"type":"grows","suspects":[{"kind":"GET /innocent","each":1.0,"requests":1,"seconds":1e308}]}'
    with contextlib.suppress(OSError):
        for _, sock in channels():
            while True:
                sock.send(word)


def from_a_child():
    """A copy of the worker without the interpreter's hooks for one."""
    for _, sock in channels():
        word = b'{"type":"recycle","reason":"a child says so"}'
        pid = os.fork()
        if pid == 0:
            with contextlib.suppress(OSError):
                sock.send(word)
            os._exit(0)
        os.waitpid(pid, 0)


def shut(how):
    for _, sock in channels():
        sock.shutdown(how)


def close():
    for fd, sock in channels():
        sock.close()
        os.close(fd)


def shrink():
    for fd in boards():
        os.ftruncate(fd, 0)


def scribble():
    """Every word of the board as large as it can be, and all text terminal commands."""
    for fd in boards():
        os.pwrite(fd, b"\xff" * os.fstat(fd).st_size, 0)
    time.sleep(0.3)


FORGERIES = {
    "started": lambda: say(b'{"type":"started","pid":1}'),
    "ready": lambda: say(b'{"type":"ready","seconds":1}'),
    "boot": lambda: say(b'{"type":"bootfailed","reason":"\\u001b[2J\\nfoo=bar"}'),
    "empty": lambda: say(b""),
    "large": lambda: say(b'"' + b"x" * 200_000),
    "deep": lambda: say(b'{"type":"ready","x":' + b"[" * 100_000),
    "descriptors": lambda: [descriptors(sock) for _, sock in channels()],
    "flood": flood,
    "incidents": incidents,
    "leaks": leaks,
    "field": lambda: say(b'{"type":"wentwrong","level":"error","event":"x","fields":{"a\\n\\u001b[2J":"1"}}'),
    "answers": lambda: say(b'{"type":"threadsat","question":0,"threads":[]}'),
    "child": from_a_child,
    "shut-write": lambda: shut(socket.SHUT_WR),
    "shut-read": lambda: shut(socket.SHUT_RD),
    "shut": lambda: shut(socket.SHUT_RDWR),
    "close": close,
    "shrink": shrink,
    "scribble": scribble,
}


def app(environ, start_response):
    name = environ["PATH_INFO"].removeprefix("/")
    said = str(os.getpid())
    if name in FORGERIES:
        try:
            FORGERIES[name]()
        except OSError as error:
            said = f"{type(error).__name__} {error}"
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [said.encode()]
