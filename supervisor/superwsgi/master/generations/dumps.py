"""Stacks that processes write by faulthandler: asked for, and those of a fatal error. Each is one event of
the log, with a head line that says whose they are and why they are there.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Final

from superwsgi.log.rate_limit import Repeats
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.record import in_hand
from superwsgi.master.processes import dumped
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.stacks import QUIET, Asked, Stacks

KEPT: Final = 16 << 10
"""Characters of a dump that stay with the worker's handle."""

PAUSE: Final = 1.0
"""Seconds for which nothing is heard after a dump that is too long."""

BY_HAND: Final = "SIGUSR2"
LATE: Final = "it does not end in time"


class Dumps:
    """`worker` is None for the mold of a generation, whose pipe also serves workers that have none of their
    own: those of an earlier program of this process."""

    def __init__(self, context: MasterContext) -> None:
        self._loop = context.loop
        self._errors = context.errors
        self._incidents = context.incidents
        self._repeats = Repeats()

    def listen(self, generation: Generation, worker: WorkerHandle | None = None) -> None:
        """From now on, hear what is written."""
        if worker is not None and worker.stacks is None:
            return
        stacks = _pipe_of(generation, worker)
        if stacks.fd >= 0:
            self._loop.on_readable(stacks.fd, lambda now: self._hear(generation, worker, stacks, now))

    def ask(
        self,
        generation: Generation,
        worker: WorkerHandle | None,
        why: str,
        tell: Callable[[str], object] | None = None,
    ) -> None:
        """Make a worker write the stacks of its threads, even if one holds the GIL; the mold, if there is no
        such process yet. They are logged, or `tell` is called with them: never, if it does not."""
        if worker is not None and worker.pid is None:
            worker = None
        process = generation.mold if worker is None else worker
        if process is not None and process.pid is not None:
            who = _who(generation, worker)
            _pipe_of(generation, worker).asked.append(Asked(why, who, tell))
            os.kill(process.pid, signal.SIGUSR2)

    def finish(self, generation: Generation, worker: WorkerHandle | None, now: float) -> None:
        """The process is gone: what it has written is whole."""
        stacks = _pipe_of(generation, worker)
        if stacks.fd >= 0:
            stacks.read(now)
            self._tell(generation, worker, stacks, now)

    def _hear(self, generation: Generation, worker: WorkerHandle | None, stacks: Stacks, now: float) -> None:
        if not stacks.read(now):
            self._loop.forget(stacks.fd)
        elif stacks.is_full():  # somebody writes without end
            self._loop.forget(stacks.fd)
            self._loop.call_at(now + PAUSE, lambda _: self.listen(generation, worker))
        self._loop.call_at(now + QUIET, lambda later: self._look(generation, worker, stacks, now, later))

    def _look(
        self, generation: Generation, worker: WorkerHandle | None, stacks: Stacks, since: float, now: float
    ) -> None:
        if stacks.heard_at == since:  # it is whole: nothing more has come
            self._tell(generation, worker, stacks, now)

    def _tell(self, generation: Generation, worker: WorkerHandle | None, stacks: Stacks, now: float) -> None:
        text = stacks.take()
        if not text.strip():
            return
        asked = stacks.take_asked()
        for each in asked:
            if each.tell is not None:
                each.tell(text)
        error = dumped.fatal_error(text)
        if error is not None:
            self._tell_error(generation, worker, error, text, now)
        elif not asked or any(each.tell is None for each in asked):
            who = asked[0].who if asked else _who(generation, worker)
            why = ", ".join(dict.fromkeys(each.why for each in asked if each.tell is None))
            unasked = LATE if dumped.is_of_watchdog(text) else BY_HAND
            number = None if worker is None else worker.incident
            self._incidents.explain(number, text)
            fields = {} if number is None else {"incident": number}
            self._errors.bind(**who).notice("stacks", text, level="error", why=why or unasked, **fields)

    def _tell_error(
        self, generation: Generation, worker: WorkerHandle | None, error: str, text: str, now: float
    ) -> None:
        """The line about the death, which follows, is the incident's."""
        fields: dict[str, object] = {"what": error}
        if worker is not None:
            worker.dump = dumped.shortened(text, KEPT)
            requests = in_hand(generation.board.in_hand(worker.slot), now)
            fields |= {"in_hand": requests} if requests else {}
        key = generation.number, None if worker is None else worker.number, error
        level, more = (
            ("error", {}) if "in_hand" in fields else self._repeats.told("error", key, int(now * 1e9))
        )
        log = self._errors.bind(**_who(generation, worker))
        log.notice("fatal error", text, level=level, **fields, **more)


def _pipe_of(generation: Generation, worker: WorkerHandle | None) -> Stacks:
    return generation.stacks if worker is None or worker.stacks is None else worker.stacks


def _who(generation: Generation, worker: WorkerHandle | None) -> dict[str, object]:
    if worker is not None:
        return worker.who()
    mold, shared = generation.mold, any(each.stacks is None for each in generation.workers.values())
    return {"gen": generation.number, **({} if mold is None or shared else {"pid": mold.pid})}
