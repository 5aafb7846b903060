"""What the kernel and the interpreter keep for this process alone: child processes, timers, interpreters; and
what they keep although it can no longer be used.
"""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from superwsgi import unpatched
from superwsgi.system import procfs
from superwsgi.worker.hazards import finding
from superwsgi.worker.hazards.finding import Hazard

_TIMERS: Final = {
    signal.ITIMER_REAL: "ITIMER_REAL",
    signal.ITIMER_VIRTUAL: "ITIMER_VIRTUAL",
    signal.ITIMER_PROF: "ITIMER_PROF",
}
_PATIENCE: Final = 0.2
"""Seconds in which programs that have closed their output may end."""
_PAUSE: Final = 0.002
_ENDED: Final = ("Z", "X", "x")
_INTERPRETERS: Final = ("_interpreters", "_xxsubinterpreters")
"""The module that makes them: since Python 3.13, and before."""


def discard() -> None:
    """Discard garbage, which may hold descriptors, and programs that nobody can wait for any more:
    `os.popen("git describe").read()`. subprocess keeps these, with their pipes, until they have ended."""
    gc.collect()
    subprocess = sys.modules.get("subprocess")
    until = time.monotonic() + _PATIENCE
    while getattr(subprocess, "_active", None) and time.monotonic() < until:
        subprocess._cleanup()  # type: ignore[union-attr]
        unpatched.sleep(_PAUSE)


def children() -> Iterator[Hazard]:
    """Live child processes: all workers would talk to the same one, and none could wait for it."""
    for child in procfs.children():
        if child.state not in _ENDED:
            named = f"a child process ({child.name})"
            yield Hazard(named, keys=(finding.process(child.pid),), verb="started")


def timers() -> Iterator[Hazard]:
    """getitimer(2), timer_create(2): a child has none of its parent's."""
    for which, name in _TIMERS.items():
        if any(signal.getitimer(which)):
            yield Hazard(f"a timer ({name})", keys=(finding.timer(which),), verb="set")
    try:
        made = Path("/proc/self/timers").read_text()
    except OSError:  # a kernel without it
        return
    yield from [Hazard("a timer (timer_create)")] * sum(line.startswith("ID:") for line in made.splitlines())


def interpreters() -> Iterator[Hazard]:
    """PyOS_AfterFork_Child() deletes all but the main one."""
    for name in _INTERPRETERS:
        module = sys.modules.get(name)
        if module is not None:
            yield from [Hazard("a second interpreter")] * (len(module.list_all()) - 1)
            return
