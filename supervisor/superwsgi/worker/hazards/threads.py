"""Threads and greenlets: a child has only the thread that forked.

Native threads that end by themselves before a fork (pthread_atfork(3)), as OpenBLAS's do, are not a hazard.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Iterator, Set
from pathlib import Path
from types import FrameType
from typing import Any, Final

from superwsgi import build, unpatched
from superwsgi.apps import patching
from superwsgi.log.frames import is_standard
from superwsgi.system import procfs
from superwsgi.worker import forks
from superwsgi.worker.hazards import finding
from superwsgi.worker.hazards.finding import Hazard
from superwsgi.worker.hazards.objects import alive
from superwsgi.worker.hazards.places import place

_BOOTSTRAP: Final = frozenset(
    {
        threading.Thread.run.__code__,
        threading.Thread._bootstrap.__code__,  # type: ignore[attr-defined]
        threading.Thread._bootstrap_inner.__code__,  # type: ignore[attr-defined]
    }
)
"""Functions of Python's own that every thread runs around its target."""

_EVENTFD: Final = "anon_inode:[eventfd]"
_GREENLET: Final = "greenlet.greenlet"
_HUB: Final = "gevent.hub.Hub"

_TURN: Final = 0.001
"""Seconds in which a hub takes a turn: libev tells its epoll only then what that is to watch."""

_SURVIVED: Final = frozenset(
    {
        # jemalloc, in pyarrow and others: its pthread_atfork(3) handlers switch the thread off in a child,
        # where the thread that frees memory returns it to the kernel itself.
        "jemalloc_bg_thd",
    }
)
"""Names of native threads that their library can do without in a child."""


def of_python() -> Iterator[Hazard]:
    """Threads that Python knows, by name and by the line that started them, or else by what they run."""
    threads = {thread.ident: thread for thread in threading.enumerate()}
    for ident, frame in sys._current_frames().items():
        if ident != unpatched.get_ident():
            thread = threads.get(ident)
            name = f"thread {thread.name!r}" if thread is not None else "a thread without a name"
            runs = f" running {_runs(frame)}" if build.has_gil() else ""  # see worker/threads/where.py
            yield Hazard(name, keys=(finding.thread(ident),), verb="started", otherwise=runs)


def _runs(frame: FrameType) -> str:
    """The function that a thread was started with: its place, or its name if it is Python's own."""
    code, module = frame.f_code, frame.f_globals.get("__name__")
    while frame.f_back is not None and frame.f_back.f_code not in _BOOTSTRAP:
        frame = frame.f_back
        code, module = frame.f_code, frame.f_globals.get("__name__")
    if is_standard(code.co_filename):
        return f"{module}.{code.co_name}"
    return place(code.co_filename, code.co_firstlineno)


def greenlets() -> Iterator[Hazard]:
    """Those that have something to go on with, and what else gevent's hub waits for: a child would go on with
    its copy of them."""
    for each in _unfinished():
        frame = each.gr_frame
        yield Hazard("a greenlet", otherwise="" if frame is None else f" running {_runs(frame)}")
    hub = patching.existing_hub()
    if hub is not None and _waits(hub):
        yield Hazard("the hub of gevent, by which something waits")


def settle_hub() -> None:
    """The import has waited for something, and nothing waits any more: who waits next makes another hub. But
    a queue, say, goes on by the hub with which it was made, and by no other: that stays, without its native
    threads, and each worker goes on with its copy (patching.renew_hub)."""
    hub = patching.existing_hub()
    if hub is None or _waits(hub) or _unfinished():
        return
    resolver, pool = hub._resolver, hub._threadpool
    del hub.resolver, hub.threadpool
    if resolver is not None:
        resolver.close()
    if pool is not None:
        pool.kill()
    del resolver, pool
    if not _keepers(hub):
        hub.destroy(destroy_loop=True)
    else:
        patching.wait(_TURN)


def of_hub() -> Set[int]:
    """The descriptors of gevent's hub, which a worker replaces: its epoll, and the eventfd by which other
    threads wake it. proc(5): what an epoll watches is in its fdinfo."""
    hub = patching.existing_hub()
    fd = -1 if hub is None else hub.loop.fileno()
    if fd is None or fd < 0:
        return frozenset()
    info = Path(f"/proc/self/fdinfo/{fd}").read_text().splitlines()
    watched = {int(line.split()[1]) for line in info if line.startswith("tfd:")}
    wakes = {each for each in watched if str(Path(f"/proc/self/fd/{each}").readlink()) == _EVENTFD}
    return frozenset({fd, *wakes} if len(wakes) == 1 else {fd})


def _waits(hub: Any) -> bool:
    return bool(hub.loop.activecnt or hub.loop.pendingcnt)


def _keepers(hub: Any) -> list[Any]:
    """Objects of gevent that refer to it, but those by which a greenlet has waited."""
    of_gevent = [each for each in gc.get_referrers(hub) if type(each).__module__.startswith("gevent.")]
    return [each for each in of_gevent if _has(each, "hub", hub) and not _has(each, "switch_args")]


def _has(each: Any, name: str, value: object = None) -> bool:
    """Whether it has an attribute of that name, or with that value."""
    try:
        found = getattr(each, name)
    except Exception:  # a socket that is closed raises OSError
        return False
    return value is None or found is value


def _unfinished() -> list[Any]:
    """The greenlets of this thread that have something to go on with, but hubs."""
    library = sys.modules.get("greenlet")
    if library is None:
        return []
    found = alive({_GREENLET, _HUB})[_GREENLET]
    here = _first(library.getcurrent())
    return [each for each in found if each is not here and _first(each) is here and _goes_on(each)]


def _first(greenlet: Any) -> Any:
    """The one that its thread began with."""
    while greenlet.parent is not None:
        greenlet = greenlet.parent
    return greenlet


def _goes_on(each: Any) -> bool:
    return not each.dead and (bool(each) or getattr(each, "started", False))


def _named() -> int:
    """How many of Python's threads `threading` knows: with `green`, all others of these are greenlets."""
    return 1 if unpatched.is_green() else threading.active_count()


def native() -> Iterator[Hazard]:
    """Threads of libraries written in other languages, which Python does not know, unless they end when this
    process forks."""
    unnamed = len(sys._current_frames()) - _named()  # Python's, but not of `threading`
    # Add our own: after a fork, `threading` still has the id from before.
    own = {unpatched.get_native_id(), *(thread.native_id for thread in threading.enumerate())}
    unknown = {*procfs.threads()} - own
    if len(unknown) <= unnamed:
        return
    _fork_in_vain()
    names = {task: _task_name(task) for task in unknown.intersection(procfs.threads())}
    left = [name for name in names.values() if name not in _SURVIVED]
    if len(left) > unnamed:
        named = sorted({*left} - {_task_name(os.getpid()), ""})
        of = f" ({', '.join(named)})" if named else ""
        yield from [Hazard(f"a thread of a native library{of}")] * (len(left) - unnamed)


def _task_name(task: int) -> str:
    """proc(5): a thread that its library did not name has the name of the process."""
    try:
        return Path(f"/proc/self/task/{task}/comm").read_text().strip()
    except OSError:  # it has just ended
        return ""


def _fork_in_vain() -> None:
    """Fork only to run the pthread_atfork(3) handlers."""
    forks.run_in_child(lambda: 0)
