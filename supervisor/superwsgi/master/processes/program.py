"""A program that runs below the master for a while, watched by its loop: the rehearsal of an upgrade, and the
command in `rollout.before`. How to go on afterwards is up to its starter.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from superwsgi.master.eventloop import EventLoop
from superwsgi.master.processes.launch import Execution, spawn

ExitCode = int
"""How a process ended: its exit code, or the signal that killed it as a negative number."""

WatchProcess = Callable[[int, Callable[[ExitCode, float], None]], None]
"""Takes a process id and calls back when that process has ended."""

_SAID: Final = 16 << 10
"""Bytes of its output that are kept: the last ones, as a traceback ends with its exception."""

_PIPE: Final = 64 << 10
"""Bytes that a pipe holds (pipe(7))."""

_GRACE: Final = 2.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended, and its last lines; `late` if it was ended for taking too long."""

    code: ExitCode
    lines: list[str]
    late: bool


class Program:
    """One run, in a session of its own. `on_end` is called at its end, whatever caused it."""

    def __init__(self, loop: EventLoop, watch: WatchProcess, on_end: Callable[[Result, float], None]) -> None:
        self._loop = loop
        self._watch = watch
        self._on_end = on_end
        self._said = b""
        self._late = False
        self._told_to_end = False
        self._pid: int | None = None  # while it runs
        self._output = -1

    def start(
        self,
        arguments: Sequence[str],
        environ: Mapping[str, str],
        now: float,
        patience: float,
        *,
        folder: str | None,
        passed: Iterable[int] = (),
        become: Callable[[], None] = lambda: None,
    ) -> int:
        """Start it; returns its process id. It may take `patience` seconds; `passed` descriptors keep their
        numbers; for `folder` and `become` see Execution. Raises OSError, PrivilegeError."""
        self._output, theirs = os.pipe()
        nothing = os.open(os.devnull, os.O_RDONLY)
        files = {0: nothing, 1: theirs, 2: theirs, **{fd: fd for fd in passed}}
        try:
            pid = spawn(Execution(arguments, environ, become, files, folder, session=True))
        except BaseException:
            os.close(self._output)
            raise
        finally:
            os.close(theirs)
            os.close(nothing)
        self._pid = pid
        os.set_blocking(self._output, False)
        self._loop.on_readable(self._output, lambda _: self._hear())
        self._watch(pid, lambda code, at: self._ended(pid, code, at))
        self._loop.call_at(now + patience, self._end_late)
        return pid

    def end(self, now: float) -> None:
        """End it and what it has started: politely, and two seconds later for good."""
        if not self._told_to_end:
            self._told_to_end = True
            self._signal(signal.SIGTERM)
            self._loop.call_at(now + _GRACE, lambda _: self._signal(signal.SIGKILL))

    def kill(self) -> None:
        """End it at once."""
        self._told_to_end = True
        self._signal(signal.SIGKILL)

    def _end_late(self, now: float) -> None:
        if self._pid is not None and not self._told_to_end:
            self._late = True
            self.end(now)

    def _signal(self, number: int) -> None:
        if self._pid is not None:
            os.killpg(self._pid, number)

    def _hear(self) -> None:
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._output, _PIPE)
            self._said = (self._said + said)[-_SAID:]
            if not said:
                self._loop.forget(self._output)

    def _ended(self, pid: int, code: ExitCode, now: float) -> None:
        self._pid = None
        self._hear()
        self._loop.forget(self._output)
        os.close(self._output)
        if self._told_to_end:
            with contextlib.suppress(ProcessLookupError):  # processes that it left in its session
                os.killpg(pid, signal.SIGKILL)
        lines = self._said.decode("utf-8", "replace").strip().splitlines()
        self._on_end(Result(code, lines, self._late), now)
