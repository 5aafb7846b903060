"""USR2: the master's own program is replaced in place, with the same process id, sockets and workers.

First the new program is rehearsed: executed beside us, it reads the configuration and the state that it would
be handed, and ends. Only if that succeeds is it executed for good; a broken installation costs nothing.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from enum import Enum, auto
from pathlib import Path
from typing import Final

from superwsgi.log.spelling import duration, ending
from superwsgi.master import handover
from superwsgi.master.context import MasterContext
from superwsgi.master.handover import Handover
from superwsgi.master.processes.program import Program, Result, WatchProcess
from superwsgi.master.release import Origin

REHEARSAL: Final = "SUPERWSGI_REHEARSAL"

_FLUSH: Final = 0.1
"""Seconds for log lines that wait for their reader, before they are lost with our memory."""


class UpgradeStep(Enum):
    IDLE = auto()
    ASKED = auto()
    REHEARSING = auto()
    REHEARSED = auto()
    ENDED = auto()  # the site stops


class Upgrades:
    """One at a time. `collect` makes the state as it is now; `watch` takes a process id and calls back when
    that process has ended; without an `origin` to start from, no upgrade is possible."""

    def __init__(
        self,
        context: MasterContext,
        collect: Callable[[], Handover],
        watch: WatchProcess,
        origin: Origin | None,
    ) -> None:
        self.step = UpgradeStep.IDLE
        self._loop = context.loop
        self._errors = context.errors
        self._collect = collect
        self._watch = watch
        self._origin = origin
        self._rehearsal: Program | None = None
        self.refusal: tuple[str, str] | None = None
        """Why the last one did not take place: the reason, and the new program's output."""

    def ask(self) -> None:
        """An operator asks for one."""
        if self._origin is None:
            self.refuse("a script that calls superwsgi.run cannot be replaced in place")
        elif self.step is UpgradeStep.IDLE:
            self.step = UpgradeStep.ASKED
            self.refusal = None

    def call_off(self) -> None:
        """The site stops: no upgrade takes place any more, and no rehearsal outlives us."""
        self.step = UpgradeStep.ENDED
        self.refusal = "the site is being stopped", ""
        if self._rehearsal is not None:
            self._rehearsal.kill()

    def go_on(self, now: float, patience: float) -> None:
        """Take the next step, while no roll-out is under way. A rehearsal may take `patience` seconds."""
        if self._origin is not None and self.step is UpgradeStep.ASKED:
            self._rehearse(self._origin, now, patience)
        elif self._origin is not None and self.step is UpgradeStep.REHEARSED:
            self._execute(self._origin)

    def _rehearse(self, origin: Origin, now: float, patience: float) -> None:
        self.step = UpgradeStep.IDLE
        state = self._collect()
        fd = state.write()
        environ = {**_environ(origin), **handover.announce(fd), REHEARSAL: "1"}
        passed = [fd, *(generation.board for generation in state.generations)]
        rehearsal = Program(self._loop, self._watch, lambda result, _: self._rehearsed(result, patience))
        try:
            pid = rehearsal.start(
                _command(origin), environ, now, patience, folder=_folder(origin), passed=passed
            )
        except OSError as error:
            self.refuse(f"{origin.python} cannot be executed: {error.strerror}")
            return
        finally:
            os.close(fd)
        self.step = UpgradeStep.REHEARSING
        self._rehearsal = rehearsal
        self._errors.info("upgrade begun", next="trying the new program", pid=pid)

    def _rehearsed(self, result: Result, patience: float) -> None:
        self._rehearsal = None
        if self.step is UpgradeStep.ENDED:
            return
        lines = result.lines
        if result.code == 0:
            self.step = UpgradeStep.REHEARSED
        elif result.late:
            late = f"the new program was not ready after {duration(patience)} (timeouts.boot)"
            self.refuse(late, "\n".join(lines))
        else:
            said = [line for line in lines if line[:1].strip()]  # others belong to the one above
            reason = said[-1] if said else f"it ended with {ending(result.code)}"
            self.refuse(reason, "\n".join(line for line in lines if line != reason))

    def refuse(self, reason: str, detail: str = "") -> None:
        """The upgrade does not take place."""
        self.step = UpgradeStep.IDLE
        self.refusal = reason, detail
        self._errors.error("upgrade refused", detail, reason=reason, next="this program goes on serving")

    def _execute(self, origin: Origin) -> None:
        """Become the new program. Returns only if that fails."""
        self.step = UpgradeStep.IDLE
        state = self._collect()
        fd = state.write()
        passed = [fd, *state.descriptors()]
        environ = {**_environ(origin), **state.environ, **handover.announce(fd)}
        self._errors.flush(_FLUSH)
        # Until the new program handles them itself.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        for each in passed:
            os.set_inheritable(each, True)
        try:
            os.chdir(_folder(origin) or ".")
            os.execve(origin.python, _command(origin), environ)
        except OSError as error:
            for each in passed:
                os.set_inheritable(each, False)
            os.close(fd)
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            self.refuse(f"{origin.python} cannot be executed: {error.strerror}")


def _command(origin: Origin) -> list[str]:
    """How this program was started, with the interpreter that has its name now."""
    return [origin.python, *sys.orig_argv[1:]]


def _folder(origin: Origin) -> str | None:
    """Where it was started; None if that is gone, which affects only relative paths in the command."""
    return origin.folder if Path(origin.folder).is_dir() else None


def _environ(origin: Origin) -> dict[str, str]:
    return {**os.environ, "PWD": origin.folder}
