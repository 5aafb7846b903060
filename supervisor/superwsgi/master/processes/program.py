"""A program that runs below the master for a while, beside its loop, which watches it: the rehearsal of an
upgrade, and what `rollout.before` names. How to go on afterwards is up to whoever has started it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from superwsgi.master.eventloop import EventLoop
from superwsgi.master.processes.reaper import ExitCode

Watch = Callable[[int, Callable[[ExitCode, float], None]], None]
"""Told a process id, it calls back when that process has ended."""

_SAID: Final = 16 << 10
"""Bytes of its output that are kept: the last ones, where an exception says what it is."""

_PIPE: Final = 64 << 10
"""Bytes that a pipe holds (pipe(7))."""

_GRACE: Final = 2.0
"""Seconds between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True)
class Result:
    """How it ended, and its last lines; `late` if it was ended for taking longer than it may."""

    code: ExitCode
    lines: list[str]
    late: bool


class Program:
    """One run, in a session of its own. `on_end` hears of its end, whatever led to it."""

    def __init__(self, loop: EventLoop, watch: Watch, on_end: Callable[[Result, float], None]) -> None:
        self._loop = loop
        self._watch = watch
        self._on_end = on_end
        self._said = b""
        self._late = False
        self._told_to_end = False
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: Sequence[str], now: float, patience: float, **how: Any) -> int:
        """Its process id. It may take `patience` seconds; `how` is for subprocess.Popen. Raises OSError."""
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **how,
        )
        self._process = process
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._loop.on_readable(process.stdout.fileno(), lambda _: self._hear())
        self._watch(process.pid, self._ended)
        self._loop.call_at(now + patience, self._end_late)
        return process.pid

    def end(self, now: float) -> None:
        """End it, and what it has started: politely, and two seconds later for good."""
        if not self._told_to_end:
            self._told_to_end = True
            self._signal(signal.SIGTERM)
            self._loop.call_at(now + _GRACE, lambda _: self._signal(signal.SIGKILL))

    def kill(self) -> None:
        """End it at once."""
        self._told_to_end = True
        self._signal(signal.SIGKILL)

    def _end_late(self, now: float) -> None:
        if self._is_running() and not self._told_to_end:
            self._late = True
            self.end(now)

    def _is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    def _signal(self, number: int) -> None:
        if self._process is not None and self._is_running():
            os.killpg(self._process.pid, number)

    def _hear(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BlockingIOError):
            said = os.read(self._process.stdout.fileno(), _PIPE)
            self._said = (self._said + said)[-_SAID:]
            if not said:
                self._loop.forget(self._process.stdout.fileno())

    def _ended(self, code: ExitCode, now: float) -> None:
        process = self._process
        assert process is not None
        assert process.stdout is not None
        process.returncode = code  # reaped by the master, not by subprocess
        self._hear()
        self._loop.forget(process.stdout.fileno())
        process.stdout.close()
        if self._told_to_end:
            with contextlib.suppress(ProcessLookupError):  # what it has left in its session
                os.killpg(process.pid, signal.SIGKILL)
        lines = self._said.decode("utf-8", "replace").strip().splitlines()
        self._on_end(Result(code, lines, self._late), now)
