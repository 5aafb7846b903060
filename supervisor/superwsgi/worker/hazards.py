"""Fork hazards: what an import has left in this process that a fork would break (fork(2)).

A child has only the thread that forked: what the others did stops, and the locks that they held stay locked.
A connection or an epoll instance is one for all that have it: what is an answer to one, another reads. Runs
in a mold between the import and the first fork, in the main thread; changes nothing.

Not hazards: datagram sockets, whose messages arrive whole whoever sends them (syslog, statsd), and native
threads that end by themselves before a fork (pthread_atfork(3)), as OpenBLAS's do.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re
import socket
import sys
import threading
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Final

from superwsgi.worker.starts import Places, place

_PAIRED: Final = "an end of a socket pair"
_SOCKET: Final = re.compile(r"socket:\[(\d+)\]")
_TASKS: Final = Path("/proc/self/task")
_MOST: Final = 5
"""Hazards that are named; the rest are counted."""

_LONGEST: Final = 200
"""Characters of one: an application chooses the names of its threads."""


def sockets() -> frozenset[int]:
    """The sockets of this process, by inode: for `examine`, those that are no hazard."""
    return frozenset(inode for _, inode in _open_sockets())


def inherited_sockets() -> frozenset[int]:
    """Those that whoever executed this program has left to it: Python's own are close-on-exec (PEP 446)."""
    return frozenset(inode for fd, inode in _open_sockets() if os.get_inheritable(fd))


def examine(harmless: frozenset[int], starts: Places) -> list[str]:
    """What of this process does not survive a fork, in words; `starts` are those of threads, where known."""
    return _summed([*_python_threads(starts), *_native_threads(), *_shared(harmless)])


def _summed(found: Iterable[str]) -> list[str]:
    """Each once, with how often it was found."""
    counts = Counter(found)
    words = [what[:_LONGEST] + (f" ({n} of them)" if n > 1 else "") for what, n in counts.items()]
    return words[:_MOST] + ([f"{len(words) - _MOST} more"] if len(words) > _MOST else [])


# Threads.


def _python_threads(starts: Places) -> Iterator[str]:
    """Those that Python knows, by name and by where they were started, or else by what they run."""
    threads = {thread.ident: thread for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident == threading.get_ident():
            continue
        thread = threads.get(ident)
        name = f"thread {thread.name!r}" if thread is not None else "a thread without a name"
        started = starts.get(thread) if thread is not None else None
        yield f"{name} started at {started}" if started else f"{name} running {_runs(frame)}"


def _runs(frame: FrameType) -> str:
    """The function that a thread was started with."""
    outermost = frame
    while frame.f_back is not None:
        frame = frame.f_back
        if frame.f_code.co_filename != threading.__file__:
            outermost = frame
    return place(outermost.f_code.co_filename, outermost.f_code.co_firstlineno)


def _native_threads() -> Iterator[str]:
    """Threads that Python does not know, of libraries written in other languages, and that a fork in this
    process does not make end beforehand."""
    own = {thread.native_id for thread in threading.enumerate()}
    unnamed = len(sys._current_frames()) - threading.active_count()  # Python's, but not of `threading`
    native = _tasks() - own
    if len(native) <= unnamed:
        return
    _fork_in_vain()
    left = native & _tasks()
    if len(left) > unnamed:
        names = {name for task in left if (name := _task_name(task)) != _task_name(os.getpid())}
        of = f" ({', '.join(sorted(names))})" if names else ""
        yield from [f"a thread of a native library{of}"] * (len(left) - unnamed)


def _tasks() -> set[int]:
    return {int(entry.name) for entry in _entries(_TASKS)}


def _task_name(task: int) -> str:
    """proc(5): a thread that its library has not named has the name of the process."""
    try:
        return (_TASKS / str(task) / "comm").read_text().strip()
    except OSError:  # it has just ended
        return ""


def _fork_in_vain() -> None:
    """A fork for its pthread_atfork(3) handlers alone."""
    child = fork_quietly()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def fork_quietly() -> int:
    """fork(2) without Python's warning of other threads: who forks has looked, or the operator has chosen."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


# Descriptors.


def _shared(harmless: frozenset[int]) -> Iterator[str]:
    """Event loops and connections. A loop of asyncio stands for the epoll instance and the socket pair that
    it has."""
    instances = sum(1 for _, target in _descriptors() if target == "anon_inode:[eventpoll]")
    loops = list(_asyncio_loops()) if instances else []
    connections = list(_connections(harmless))
    yield from loops
    yield from ["an event loop (epoll)"] * (instances - len(loops))
    yield from [_PAIRED] * (connections.count(_PAIRED) - 2 * len(loops))
    yield from (each for each in connections if each != _PAIRED)


def _asyncio_loops() -> Iterator[str]:
    events = sys.modules.get("asyncio.events")
    if events is None:
        return
    for found in gc.get_objects():
        # Not isinstance: it asks a lazy proxy for its __class__, and so wakes what is behind it.
        if issubclass(type(found), events.AbstractEventLoop):
            with contextlib.suppress(Exception):  # another library's, that has not all of its methods
                if not found.is_closed():
                    yield f"{'a running' if found.is_running() else 'an open'} event loop of asyncio"


def _connections(harmless: frozenset[int]) -> Iterator[str]:
    for fd, inode in _open_sockets():
        if inode not in harmless and (said := _describe(fd)):
            yield said


def _describe(fd: int) -> str | None:
    """A socket by its peer; None where sharing it does no harm."""
    try:
        copy = os.dup(fd)
    except OSError:  # closed meanwhile, by a thread
        return None
    with socket.socket(fileno=copy) as sock:
        if sock.type not in (socket.SOCK_STREAM, socket.SOCK_SEQPACKET):
            return None
        if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            return f"a listening socket on {_spell(sock.getsockname())}"
        try:
            peer = sock.getpeername()
        except OSError:  # not connected
            return None
        return f"a connection to {_spell(peer)}" if peer else _PAIRED


def _spell(address: object) -> str:
    if isinstance(address, tuple):
        host, port, *_ = address
        return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
    if isinstance(address, bytes):  # unix(7): abstract
        return address.decode(errors="backslashreplace").replace("\0", "@")
    return str(address)


def _open_sockets() -> Iterator[tuple[int, int]]:
    """(descriptor, inode)."""
    for fd, target in _descriptors():
        found = _SOCKET.fullmatch(target)
        if found:
            yield fd, int(found[1])


def _descriptors() -> list[tuple[int, str]]:
    """(descriptor, what it is: proc(5)) of all that are open."""
    found = []
    for link in _entries(Path("/proc/self/fd")):
        with contextlib.suppress(OSError):  # the one that listed them
            found.append((int(link.name), str(link.readlink())))
    return found


def _entries(folder: Path) -> list[Path]:
    """Nothing where there is no /proc: then nothing can be found out."""
    try:
        return list(folder.iterdir())
    except OSError:
        return []
