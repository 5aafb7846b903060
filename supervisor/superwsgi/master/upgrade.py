"""USR2: the master's own program is replaced in place, with the same process id, sockets and workers.

First the new program is rehearsed: executed beside us, it reads the state that it would be handed and the
configuration, and ends. Only when it can is it executed for good; a broken installation costs nothing.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from superwsgi.log.error import ErrorLog
from superwsgi.log.words import duration, ending
from superwsgi.master import handover
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.handover import Handover
from superwsgi.master.reaper import ExitCode

REHEARSAL: Final = "SUPERWSGI_REHEARSAL"
_SAID: Final = 16 << 10
"""Bytes of a rehearsal's output that are kept: the last ones, where an exception says what it is."""


_FLUSH: Final = 0.1
"""Seconds that lines of the log which wait for their reader are given before our memory goes with them."""


class Stage(Enum):
    IDLE = auto()
    ASKED = auto()
    REHEARSING = auto()
    REHEARSED = auto()
    ENDED = auto()  # the site stops


class Upgrade:
    """One at a time. `collect` makes the state as it is now; `watch` is told a process id and calls back when
    that process has ended."""

    def __init__(
        self,
        loop: EventLoop,
        collect: Callable[[], Handover],
        watch: Callable[[int, Callable[[ExitCode, float], None]], None],
        *,
        possible: bool,
    ) -> None:
        self.stage = Stage.IDLE
        self._loop = loop
        self._collect = collect
        self._watch = watch
        self._possible = possible
        self._said = b""
        self._trial: subprocess.Popen[bytes] | None = None
        self._late = ""  # why the trial was ended
        self.refusal: tuple[str, str] | None = None
        """Why the last one did not take place: the reason, and what the new program has said."""

    def ask(self, errors: ErrorLog) -> None:
        """An operator wants one."""
        if not self._possible:
            self.refuse(errors, "a script that calls superwsgi.run cannot be started anew in its own place")
        elif self.stage is Stage.IDLE:
            self.stage = Stage.ASKED
            self.refusal = None

    def end(self) -> None:
        """The site stops: no upgrade takes place any more, and no trial outlives us."""
        self.stage = Stage.ENDED
        self.refusal = "the site is being stopped", ""
        if self._trial is not None:
            _kill(self._trial)

    def go_on(self, errors: ErrorLog, now: float, patience: float) -> None:
        """While no roll-out is under way: the next step. A rehearsal may take `patience` seconds."""
        if self.stage is Stage.ASKED:
            self._rehearse(errors, now, patience)
        elif self.stage is Stage.REHEARSED:
            self._execute(errors)

    def _rehearse(self, errors: ErrorLog, now: float, patience: float) -> None:
        self.stage = Stage.IDLE
        self._said, self._late = b"", ""
        state = self._collect()
        fd = state.write()
        environ = {**os.environ, **handover.announce(fd), REHEARSAL: "1"}
        boards = [generation.board for generation in state.generations]
        try:
            trial = subprocess.Popen(
                _command(),
                env=environ,
                pass_fds=[fd, *boards],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        except OSError as error:
            self.refuse(errors, f"{sys.executable} cannot be executed: {error.strerror}")
            return
        finally:
            os.close(fd)
        self.stage = Stage.REHEARSING
        self._trial = trial
        errors.info("upgrade begun", next="trying the new program", pid=trial.pid)
        self._listen(trial)
        self._watch(trial.pid, lambda code, _: self._rehearsed(errors, trial, code))
        self._loop.call_at(now + patience, lambda _: self._end_late(trial, patience))

    def _listen(self, trial: subprocess.Popen[bytes]) -> None:
        assert trial.stdout is not None
        os.set_blocking(trial.stdout.fileno(), False)
        self._loop.on_readable(trial.stdout.fileno(), lambda _: self._hear(trial))

    def _hear(self, trial: subprocess.Popen[bytes]) -> None:
        assert trial.stdout is not None
        with contextlib.suppress(BlockingIOError):
            said = os.read(trial.stdout.fileno(), _SAID)
            self._said = (self._said + said)[-_SAID:]
            if not said:
                self._loop.forget(trial.stdout.fileno())

    def _rehearsed(self, errors: ErrorLog, trial: subprocess.Popen[bytes], code: ExitCode) -> None:
        assert trial.stdout is not None
        trial.returncode = code  # reaped by us, not by subprocess
        self._hear(trial)
        self._loop.forget(trial.stdout.fileno())
        trial.stdout.close()
        self._trial = None
        if self.stage is Stage.ENDED:
            return
        if code == 0:
            self.stage = Stage.REHEARSED
            return
        lines = self._said.decode("utf-8", "replace").strip().splitlines()
        if self._late:
            self.refuse(errors, self._late, "\n".join(lines))
            return
        self.refuse(errors, lines[-1] if lines else f"it ended with {ending(code)}", "\n".join(lines[:-1]))

    def _end_late(self, trial: subprocess.Popen[bytes], patience: float) -> None:
        if trial.returncode is None:
            self._late = f"the new program was not ready after {duration(patience)} (timeouts.boot)"
            _kill(trial)

    def refuse(self, errors: ErrorLog, reason: str, detail: str = "") -> None:
        """It does not take place."""
        self.stage = Stage.IDLE
        self.refusal = reason, detail
        errors.error("upgrade refused", detail, reason=reason, next="this program goes on serving")

    def _execute(self, errors: ErrorLog) -> None:
        """Become the new program. Returns only where that fails."""
        self.stage = Stage.IDLE
        state = self._collect()
        fd = state.write()
        passed = [fd, *state.descriptors()]
        environ = {**os.environ, **state.environ, **handover.announce(fd)}
        errors.flush(_FLUSH)
        # Until the new program takes them itself.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        for each in passed:
            os.set_inheritable(each, True)
        try:
            os.execve(sys.executable, _command(), environ)
        except OSError as error:
            for each in passed:
                os.set_inheritable(each, False)
            os.close(fd)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self.refuse(errors, f"{sys.executable} cannot be executed: {error.strerror}")


def _kill(trial: subprocess.Popen[bytes]) -> None:
    if trial.returncode is None:
        os.kill(trial.pid, signal.SIGKILL)


def _command() -> list[str]:
    """How this program was started, by the interpreter that has its name now."""
    return [sys.executable, *sys.orig_argv[1:]]
