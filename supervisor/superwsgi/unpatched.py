"""Python's own threads, locks and system calls, whatever gevent has put in their place.

With `green` a mold has gevent patch the standard library before anything of the application's is imported.
What of ours runs in native threads, or asks the kernel itself, takes these things from here, and this module
is imported before that. `shared_lock`, `thread` and `condition` are the standard library's own without
`green`. Knows nothing of sites.
"""

from __future__ import annotations

import _thread
import os
import select
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Final, cast

from superwsgi.core.chosen import MUTEX

# A script may have patched before us: it is refused later.
epoll: Final = cast("type[select.epoll]", getattr(select, "epoll", None))
poll: Final = select.poll
fork: Final = os.fork
waitpid: Final = os.waitpid
close: Final = os.close  # gevent's waits for its hub's next turn, which a mold never takes
sleep: Final = time.sleep
Socket: Final = socket.socket
BareSocket: Final = socket.SocketType
"""What Socket is made of, in C: the latter begins and closes each in Python, to count what makefile() has
made of it."""
_STREAM: Final = int(socket.SOCK_STREAM)
socketpair: Final = socket.socketpair
Lock: Final = _thread.allocate_lock
RLock: Final = _thread.RLock
Mutex: Final = _thread.allocate_lock if MUTEX is None else MUTEX
"""A Lock without timeouts, for what happens in each request: to parse the arguments of Lock's methods takes
more time than the rest of them."""
get_ident: Final = _thread.get_ident
get_native_id: Final = _thread.get_native_id
_start: Final = _thread.start_new_thread

_greenlets: Final[list[Callable[[], Any]]] = []
"""Has what makes locks for greenlets, once there are any."""

names: Final[dict[int, str]] = {}
"""Of the threads that `threading` does not know, by their identifiers."""


def share(make: Callable[[], Any]) -> None:
    """From now on greenlets run the application: `make` makes locks that they may wait for."""
    _greenlets.append(make)


def is_green() -> bool:
    """Whether gevent has patched this process for us."""
    return bool(_greenlets)


def shared_lock() -> threading.Lock:
    """One for which those wait that run the application: threads or greenlets."""
    return cast(threading.Lock, _greenlets[0]() if _greenlets else Lock())


def shared_mutex() -> threading.Lock:
    """As shared_lock, but without timeouts."""
    return cast(threading.Lock, _greenlets[0]() if _greenlets else Mutex())


def accept(listener: socket.socket, family: int) -> tuple[socket.socket, Any]:
    """As socket.accept of a stream, whose result is gevent's where that has patched, and which makes enums of
    family and type each time: that takes longer than all the rest of it. Raises OSError.

    The result is a BareSocket: it has the system's calls, and no method that socket.socket adds to these."""
    fd, address = listener._accept()  # type: ignore[attr-defined]
    return cast(socket.socket, BareSocket(family, _STREAM, 0, fd)), address


def thread(work: Callable[[], object], name: str) -> threading.Thread | NativeThread:
    """A daemon thread that has yet to be started."""
    if _greenlets:
        return NativeThread(work, name)
    return threading.Thread(target=work, name=name, daemon=True)


def condition() -> threading.Condition | NativeCondition:
    return NativeCondition() if _greenlets else threading.Condition()


class NativeThread:
    """What is needed of threading.Thread, whose methods use what has been patched."""

    def __init__(self, work: Callable[[], object], name: str) -> None:
        self.name = name
        self.ident: int | None = None
        self._work = work
        self._ended = Lock()

    def start(self) -> None:
        """Raises RuntimeError if the system gives no more threads."""
        self._ended.acquire()
        try:
            _start(self._live, ())
        except BaseException:
            self._ended.release()
            raise

    def is_alive(self) -> bool:
        return self._ended.locked()

    def join(self, timeout: float | None = None) -> None:
        if self._ended.acquire(timeout=-1 if timeout is None else timeout):
            self._ended.release()

    def _live(self) -> None:
        self.ident = ident = get_ident()
        names[ident] = self.name
        try:
            self._work()
        finally:
            del names[ident]
            self._ended.release()


class NativeCondition:
    """What is needed of threading.Condition. Its lock may be taken again by a greenlet of the same thread,
    as in the finalizer of some object: it would wait for the other one forever."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._waiting: list[_thread.LockType] = []

    def __enter__(self) -> bool:
        return self._lock.acquire()

    def __exit__(self, *raised: object) -> None:
        self._lock.release()

    def wait_for(self, is_so: Callable[[], object], timeout: float | None = None) -> bool:
        """Release the lock until it is so, for at most so many seconds; whether it is."""
        end = None if timeout is None else time.monotonic() + timeout
        while not is_so():
            left = -1.0 if end is None else end - time.monotonic()
            if end is not None and left <= 0:
                return False
            self._wait(left)
        return True

    def notify_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.release()

    def _wait(self, seconds: float) -> None:
        told = Lock()
        told.acquire()
        self._waiting.append(told)
        state = self._lock._release_save()  # type: ignore[attr-defined]
        try:
            told.acquire(timeout=seconds)
        finally:
            self._lock._acquire_restore(state)  # type: ignore[attr-defined]
            if told in self._waiting:
                self._waiting.remove(told)
