"""When memory is short, in the site's control group or on the machine, and which worker is recycled for
that before the kernel kills one. `judge` is pure; `Pressure` looks, and says it.

Only one worker goes at a time, the largest of those whose replacement would be smaller, by SMALLER of the
limit at least: else it is somebody else who takes the memory, and that is said instead. If it did not
help, the next one has to wait, longer each time. Where there is no room for a second one, the worker
leaves before its replacement is forked: clients of a site with one worker wait in the backlog meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import duration, share, size
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.generations import Generations
from superwsgi.master.memory import leaks
from superwsgi.master.policy.actions import Action, RecycleWorker
from superwsgi.master.policy.causes import Cause
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.states import WorkerState
from superwsgi.system import machine
from superwsgi.system.machine import Room

FULL: Final = 0.95
"""The share of the limit that is needed from which memory is short: what is left is a few requests."""

TIGHT: Final = 0.85
PRESSURE: Final = 0.1
"""Or this share in use, files included, while nothing gets on for this share of the time (PSI)."""

EASED: Final = 0.9
"""It is no more when both are below this part of what they are short from, for CALM seconds."""

PATIENCE: Final = 2.0
"""Seconds for which every look has to find it short."""

CALM: Final = 10.0

SMALLER: Final = 0.05

PAUSE: Final = 30.0
LONGEST_PAUSE: Final = 900.0
"""Seconds between one recycled worker and the next: as memory that is given back shows only after a while.
Twice as many after each that did not end the shortage."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """A worker that serves: bytes that it has, and had when it began to."""

    generation: int
    key: int
    number: int
    now: int
    fresh: int

    @property
    def gain(self) -> int:
        return self.now - self.fresh


@dataclass(frozen=True, slots=True)
class Relief:
    """Recycle this worker; `leaves_first` if there is no room for its replacement beside it."""

    worker: Sizes
    leaves_first: bool


def is_short(room: Room, pressure: float | None, eased: float = 1.0) -> bool:
    """Whether memory is; with `eased`, whether it still is."""
    if room.needed >= eased * FULL * room.limit:
        return True
    return pressure is not None and pressure >= eased * PRESSURE and room.in_use >= eased * TIGHT * room.limit


def judge(room: Room, workers: Sequence[Sizes]) -> Relief | None:
    """Who is to go; None if that would not help."""
    worth = [worker for worker in workers if worker.gain >= SMALLER * room.limit]
    if not worth:
        return None
    largest = max(worth, key=lambda each: each.now)
    return Relief(largest, leaves_first=room.left < 2 * largest.fresh)


class Pressure:
    """`look` is called now and then; it puts what should be done on the `agenda`."""

    def __init__(
        self,
        context: MasterContext,
        generations: Generations,
        agenda: list[Action],
        root: Path = Path("/"),
    ) -> None:
        """`root` has /proc and /sys."""
        self._errors: ErrorLog = context.errors
        self._incidents = context.incidents
        self._generations = generations
        self._agenda = agenda
        self._root = root
        self._since: float | None = None  # short, as far as was seen
        self._last = 0.0  # when it was seen so
        self._said = False
        self._incident: int | None = None
        self._not_before = 0.0
        self._pause = PAUSE

    @property
    def is_short(self) -> bool:
        """Whether memory has been for some time, and is not enough again."""
        return self._said

    def look(self, now: float) -> None:
        room, pressure = machine.room(self._root), machine.memory_pressure(self._root)
        if room is None:
            return
        if is_short(room, pressure, EASED if self._said else 1.0):
            self._since = now if self._since is None else self._since
            self._last = now
            if now - self._since >= PATIENCE:
                self._relieve(room, pressure, now)
        elif not self._said:
            self._since = None
        elif now - self._last >= CALM:
            self._end(room, now)

    def _relieve(self, room: Room, pressure: float | None, now: float) -> None:
        busy = self._comes_or_goes()
        relief = None if busy or now < self._not_before else judge(room, self._sizes())
        if not self._said:
            self._said = True
            then = busy or (_spell_relief(relief) if relief else self._spell_others(room))
            figures = {"reason": _spell(room, pressure), "workers": size(self._workers_have())}
            self._incident = self._errors.warning("memory short", **figures, next=then)
        if relief is not None:
            self._recycle(relief, room, now)

    def _recycle(self, relief: Relief, room: Room, now: float) -> None:
        self._not_before = now + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)
        worker = relief.worker
        generation = self._generations.find(worker.generation)
        handle = generation.worker(worker.key) if generation is not None else None
        why = leaks.spell(handle.leaks) if handle is not None else ""
        reason = f"memory short: {_figures(room)}, it is the largest with {size(worker.now)}"
        reason += f", {why}" if why else ""
        self._agenda.append(
            RecycleWorker(
                worker.generation, worker.key, reason, Cause.MEMORY_SHORT, leaves_first=relief.leaves_first
            )
        )

    def _end(self, room: Room, now: float) -> None:
        lasted = duration(now - (self._since or now))
        self._errors.info("memory enough again", lasted=lasted, reason=_figures(room))
        self._incidents.ends(self._incident, f"memory was enough again after {lasted}")
        self._since, self._said, self._pause = None, False, PAUSE

    def _comes_or_goes(self) -> str:
        """Who is about to change what is needed; empty if nobody is."""
        if self._generations.candidate is not None:
            return "a generation is on its way: no worker is recycled until then"
        for _, worker in self._generations.workers():
            if worker.state is not WorkerState.SERVING or worker.recycle is not None:
                return f"worker {worker.number} comes or goes: no other is recycled until then"
        return ""

    def _spell_others(self, room: Room) -> str:
        others = max(0, room.needed - self._workers_have())
        return (
            f"no worker is recycled, as none has grown by {share(SMALLER)} of that: other processes have "
            f"{size(others)}; raise the limit, or have fewer workers"
        )

    def _sizes(self) -> list[Sizes]:
        return [
            Sizes(worker.generation, worker.key, worker.number, worker.series.last.rss, _fresh(worker))
            for _, worker in self._generations.workers()
            if worker.series.last is not None
        ]

    def _workers_have(self) -> int:
        return sum(each.now for each in self._sizes())


def _fresh(worker: WorkerHandle) -> int:
    """Its first figure is from the second in which it was forked or later."""
    return min(figures.rss for figures in worker.series.kept[:2])


def _figures(room: Room) -> str:
    return f"{size(room.needed)} of {size(room.limit)} ({room.name}) needed"


def _spell(room: Room, pressure: float | None) -> str:
    """`487M of 512M (memory.max) needed, 12 % of the time nothing gets on (PSI)`."""
    stalled = "" if pressure is None else f", {share(pressure)} of the time nothing gets on (PSI)"
    return _figures(room) + stalled


def _spell_relief(relief: Relief) -> str:
    worker = relief.worker
    order = "before its replacement starts" if relief.leaves_first else "once its replacement serves"
    return f"worker {worker.number} is recycled, the largest with {size(worker.now)}, {order}"
