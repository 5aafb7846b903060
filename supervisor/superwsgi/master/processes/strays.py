"""Processes that molds and workers leave behind. The master is a child subreaper (prctl(2)), so it becomes
their parent.

Forked copies of a process that is gone are ended: nobody can reach them, and they keep its memory. So are
children executed by multiprocessing, when nobody waits for them. SIGTERM comes first, for those that clean
up; SIGKILL later, for those that ignore it. Other programs are left alone, and named once in the log.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

import psutil

from superwsgi.log.error import ErrorLog
from superwsgi.master.eventloop import EventLoop
from superwsgi.system import lineage, procfs
from superwsgi.system.lineage import Mark

GRACE: Final = 1.0
"""Seconds from SIGTERM to SIGKILL, and before a program is named: many end when their worker does."""

_SPAWNED: Final = re.compile(rb"\0-c\0from multiprocessing\.(spawn|forkserver) import ")
"""How multiprocessing starts processes if it does not fork."""

_TRACKER: Final = re.compile(rb"\0-c\0from multiprocessing\.resource_tracker import ")
"""It ends by itself once it has removed what its processes left in shared memory."""


class Strays:
    """`known` are the ids of processes that are not left behind: molds, workers, anything the master runs."""

    def __init__(
        self, loop: EventLoop, errors: Callable[[], ErrorLog], known: Callable[[], set[int]]
    ) -> None:
        self._loop = loop
        self._errors = errors
        self._known = known
        self._before = frozenset(_children())  # children of a script that calls superwsgi.run
        self._spared: Callable[[set[int]], set[int]] = lambda _: set()
        self._ending: set[int] = set()
        self._named: set[int] = set()

    def spare(self, own: Callable[[set[int]], set[int]]) -> None:
        """Leave alone which of some processes belong to others that look after them."""
        self._spared = own

    def look(self, now: float) -> None:
        """After a process has ended: its children are ours now."""
        children = set(_children())
        self._ending &= children
        self._named &= children
        others = self._unknown(children)
        marks = {pid: mark for pid in children if (mark := lineage.mark_of(pid)) is not None}
        lost = orphans(marks, self._known()) | {pid for pid in others - {*marks} if _runs(pid, _SPAWNED)}
        for pid in sorted(lost - self._ending):
            self._end(pid, now)
        if others - {*marks} - lost - self._named:
            self._loop.call_at(now + GRACE, self.name_programs)

    def _unknown(self, children: set[int]) -> set[int]:
        others = children - self._known() - self._before
        return others - self._spared(others)

    def __bool__(self) -> bool:
        """Whether some are still being ended."""
        return bool(self._ending)

    def _end(self, pid: int, now: float) -> None:
        self._ending.add(pid)
        self._errors().info("left behind", pid=pid, reason="its worker is gone", next="ended")
        _kill(pid, signal.SIGTERM)
        self._loop.call_at(now + GRACE, lambda now: self._end_at_last(pid))

    def _end_at_last(self, pid: int) -> None:
        if (
            pid in self._ending and pid in _children()
        ):  # our child and not reaped: the process id is still its own
            _kill(pid, signal.SIGKILL)

    def name_programs(self, _now: float) -> None:
        """Log the programs that are left, unless they were logged before."""
        children = set(_children())
        for pid in sorted(self._unknown(children) - self._named - self._ending):
            is_program = lineage.mark_of(pid) is None and not _runs(pid, _TRACKER)
            name = _name(pid)  # asked last: a process that ends meanwhile seems to have no mark
            if is_program and name:
                self._named.add(pid)
                log = self._errors()
                log.notice("program left running", pid=pid, program=name, next="left alone")


def orphans(marks: Mapping[int, Mark], known: Iterable[int]) -> set[int]:
    """Of the processes with marks, the copies whose worker is gone; a mold's copies are its workers' too."""
    at_home = {pid for pid, mark in marks.items() if mark.owner == pid} | {*known}
    at_home |= {marks[pid].mold for pid in at_home if pid in marks}
    return {pid for pid, mark in marks.items() if pid not in at_home and mark.owner not in at_home}


def _children() -> list[int]:
    """The children of the main thread, to which orphans are given. If one look misses some because others end
    meanwhile (proc_tid_children(5)), the next one finds them."""
    own = os.getpid()
    try:
        return [int(pid) for pid in Path(f"/proc/{own}/task/{own}/children").read_text().split()]
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return [child.pid for child in procfs.children()]


def _runs(pid: int, what: re.Pattern[bytes]) -> bool:
    return what.search(procfs.command_line(pid)) is not None


def _name(pid: int) -> str:
    """Empty if it has ended, or is about to: without memory it has no arguments."""
    try:
        process = psutil.Process(pid)
        return process.name() if process.cmdline() else ""
    except psutil.Error:
        return ""


def _kill(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
