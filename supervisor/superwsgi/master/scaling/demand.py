"""How many workers the load calls for. Pure: scaler.py looks, and has done what is decided here; the
simulation in tests/master/scaling/ runs the same functions.

One rule for threads and workers: threads are for requests that wait for something else, and the worker starts
them (worker/threads/pool.py); workers are for those that compute. Another worker helps where requests wait
and none is left that could take them: each computes, so that its requests wait for one another's GIL, or has
as many threads as it may have, and none is free. While one has room nobody is added: new connections go
there, and others are moved there.

Up within seconds: most of the last looks have to find that, so that a burst is none, and half as many are
added as would have had something to do at each of them. Not beyond the CPUs where all compute: more would
only take turns. With threads at their most and CPU left there may be more workers than
CPUs, up to `max`, as such requests wait for something else.

Down slowly: to what was needed at most within REST seconds, by half at a time. What is needed then is judged
by less load than makes a worker be added, so that a load that stays, or that comes back within REST, keeps
its workers: it is cheaper to keep one too many than to start one too late. Where workers had to be added soon
after others had gone, again and again, fewer have to be enough for longer.

Applications can write anything on a scoreboard: what is counted here is bounded (policy/shortage.py), so the
worst is the number that the site file allows, after several looks at each step and with all workers that were
added serving; and less again after REST.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from superwsgi.log.spelling import duration, share

LOOK: Final = 0.5
"""Seconds between two looks."""

_REMEMBERED: Final = 4
_ENOUGH: Final = 3
"""Of so many looks, so many have to find that workers lack."""

_UNEVEN: Final = 8
"""After so many looks in a row that find requests waiting beside workers with room, connections move."""

_FORGOTTEN: Final = 10.0
"""Seconds without a look, as while a number was asked for, after which looking begins anew."""

_AT_ONCE: Final = 3
"""So many are added at once at most, or half as many as there are: the next looks know more."""

BUSY: Final = 0.75
"""CPU seconds a second from which a worker computes: with its requests at random, one that finds it like that
waits three times as long as it takes."""

_SPARE: Final = 0.25
"""CPUs that have to be left for another worker: with less it would only take turns with those that there
are."""

REST: Final = 60.0
"""Seconds for which fewer workers have to be enough before any goes: a load that comes back within a minute
finds them."""

REGRETTED: Final = 1800.0
"""Seconds for which it counts that workers had to be added within REST after others had gone. It may have
been chance once; a second time and each further one REST is as much longer, up to _LONGEST."""

_LONGEST: Final = 600.0

_PAUSE: Final = 10.0
"""Seconds between two steps down."""

_ROOMY: Final = 0.5
"""The share of a CPU, and of its threads, that each of fewer workers would use at most."""

_MEMORY: Final = 5.0
"""Seconds over which load is averaged before it counts as needed: a page that computes for a second is no
load that stays."""


@dataclass(frozen=True, slots=True)
class Load:
    """Of a worker at one look: `busy` of its threads have a request in hand, of at most `most`; `free` more
    could run; `queued` wait for a thread, `taken` arrived together, and `refused` have found no thread in
    time since the last look. It `hesitates` to start threads, as those that it has compute, or `hangs` and
    takes no request. `cpu` is in seconds a second, None if that is not known yet; `longest` is for how many
    seconds it has had a request in hand."""

    number: int
    busy: int = 0
    most: int = 1
    free: int = 1
    queued: int = 0
    taken: int = 0
    refused: int = 0
    hesitates: bool = False
    hangs: bool = False
    cpu: float | None = None
    longest: float = 0.0

    @property
    def computes(self) -> bool:
        return self.hesitates or self.hangs or (self.cpu is not None and self.cpu >= BUSY)

    @property
    def is_full(self) -> bool:
        return self.free <= 0 or self.queued > self.free or self.refused > 0

    @property
    def lacking(self) -> float:
        """How many workers could take what waits here. Of those that compute one runs."""
        waiting = self.queued + self.refused
        if self.computes:
            return max(int(self.hangs), self.busy + waiting + max(0, self.taken - 1) - 1)
        return waiting / self.most if self.is_full else 0.0


@dataclass(frozen=True, slots=True)
class SiteLoad:
    """At all workers that serve. There are to be `wanted`, from `least` to `most`, on so many `cpus`.
    `settled`: all of them serve, and none has died right after its start. `patience` is for how many seconds
    a worker that is to go may have had a request in hand: it is given no more than as long again."""

    wanted: int
    least: int
    most: int
    cpus: int
    workers: tuple[Load, ...] = ()
    settled: bool = True
    patience: float = math.inf

    @property
    def lacking(self) -> int:
        """How many more workers would have something to do."""
        if not self.workers or not all(worker.computes or worker.is_full for worker in self.workers):
            return 0
        return math.ceil(sum(worker.lacking for worker in self.workers))

    @property
    def is_uneven(self) -> bool:
        """Whether requests wait at some workers while others have room."""
        return not self.lacking and any(worker.lacking for worker in self.workers)

    @property
    def cpu(self) -> float:
        return sum(worker.cpu or 0.0 for worker in self.workers)

    @property
    def held(self) -> int:
        """Requests that have a thread, or wait for one."""
        return sum(worker.busy + worker.queued for worker in self.workers)


@dataclass(frozen=True, slots=True)
class Course:
    """What the looks have found since `began`, the last one `at` that time, in monotonic seconds: how many
    workers were `lacking`, the averages of `cpu` and `held`, and how many were needed when: each of `peaks`
    is higher than all that came later. Some went `fewer_at` last, which was one of the `regrets`. The last
    `uneven` looks have found that requests wait beside workers that have room."""

    began: float
    at: float
    lacking: tuple[int, ...] = ()
    cpu: float = 0.0
    held: float = 0.0
    peaks: tuple[tuple[float, int], ...] = ()
    fewer_at: float = -math.inf
    regrets: tuple[float, ...] = ()
    uneven: int = 0

    @property
    def rest(self) -> float:
        """Seconds for which fewer workers have to be enough."""
        return min(REST * max(1, len(self.regrets)), _LONGEST)

    @property
    def calls_for(self) -> int:
        """How many more workers the last looks agree on."""
        if sum(each > 0 for each in self.lacking) < _ENOUGH:
            return 0
        return sorted(self.lacking)[-_ENOUGH]

    @property
    def is_calm(self) -> bool:
        """Whether none of the last looks has found that any lacks."""
        return not any(self.lacking)


@dataclass(frozen=True, slots=True)
class WorkerRoom:
    """At most so many `workers`, because of `reason`; `of` what there is no more, in a word."""

    workers: int
    of: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Decision:
    """There are to be `wanted` workers, because of `reason`. `limit` is why there are not as many as the load
    calls for, if there are not."""

    wanted: int
    reason: str = ""
    limit: WorkerRoom | None = None


def observe(before: Course, look: SiteLoad, now: float) -> Course:
    """What is known after one more look; nothing of what was seen long ago."""
    before = before if now - before.at < _FORGOTTEN else Course(now, now)
    weight = 1 - math.exp(-max(0.0, now - before.at) / _MEMORY)
    cpu = before.cpu + (look.cpu - before.cpu) * weight
    held = before.held + (look.held - before.held) * weight
    need = _needed(cpu, held, max((worker.most for worker in look.workers), default=1))
    need = max(need, look.wanted) if look.lacking else need
    peaks = _with_peak(before.peaks, now, need, before.rest)
    regrets = tuple(when for when in before.regrets if when > now - REGRETTED)
    lacking = (*before.lacking, look.lacking)[-_REMEMBERED:] if look.settled else ()
    return replace(
        before,
        at=now,
        lacking=lacking,
        cpu=cpu,
        held=held,
        peaks=peaks,
        regrets=regrets,
        uneven=before.uneven + 1 if look.is_uneven else 0,
    )


def _with_peak(
    peaks: tuple[tuple[float, int], ...], now: float, need: int, rest: float
) -> tuple[tuple[float, int], ...]:
    return (*(peak for peak in peaks if peak[0] > now - rest and peak[1] > need), (now, need))


def _needed(cpu: float, held: float, threads: int) -> int:
    """Workers that would do this with ease, each with so many threads at most."""
    return max(1, math.ceil(cpu / _ROOMY), math.ceil(held / (_ROOMY * threads)))


def calls_for_spread(course: Course) -> bool:
    """Whether connections are to move to workers that have room: again and again, while it stays uneven."""
    return course.uneven > 0 and course.uneven % _UNEVEN == 0


def decide(course: Course, look: SiteLoad, room: WorkerRoom, now: float) -> Decision:
    """How many workers there are to be; memory has `room` for so many."""
    more = min(math.ceil(course.calls_for / 2), max(_AT_ONCE, look.wanted // 2))
    if more and look.settled:
        return _more(look, look.wanted + more, room)
    rested = now - course.began >= course.rest and now >= course.fewer_at + _PAUSE
    if look.settled and rested and course.is_calm:
        return _fewer(course, look)
    return Decision(look.wanted)


def _more(look: SiteLoad, called_for: int, room: WorkerRoom) -> Decision:
    limits = [WorkerRoom(look.most, "workers.max", f"workers.max is {look.most}"), _cpus(look), room]
    tightest = min(limits, key=lambda each: each.workers)
    wanted = max(look.wanted, min(called_for, tightest.workers))
    return Decision(wanted, _load(look.workers), tightest if tightest.workers < called_for else None)


def _cpus(look: SiteLoad) -> WorkerRoom:
    """For how many workers there are CPUs."""
    have = f"{look.cpus} CPU{'s' * (look.cpus > 1)}"
    if look.cpu > look.cpus - _SPARE:
        return WorkerRoom(look.wanted, "CPU", f"the workers use {share(look.cpu)} of {have}")
    if all(worker.computes for worker in look.workers):
        return WorkerRoom(max(look.wanted, look.cpus), "CPU", f"all workers compute, and there are {have}")
    return WorkerRoom(max(look.wanted, look.most))


def _fewer(course: Course, look: SiteLoad) -> Decision:
    needed = max(need for _, need in course.peaks)
    kept = max((w.number for w in look.workers if w.longest > look.patience), default=1)
    wanted = max(needed, look.least, math.ceil(look.wanted / 2), kept)
    if wanted >= look.wanted:
        return Decision(look.wanted)
    threads = f"{course.held:.1f}".removesuffix(".0")
    now = f"{share(course.cpu)} CPU, {threads} threads busy"
    return Decision(wanted, f"little to do for {duration(course.rest)}: now {now}")


def stepped(course: Course, decision: Decision, look: SiteLoad, now: float) -> Course:
    """What is known once it is done as decided."""
    if decision.wanted == look.wanted:
        return course
    if decision.wanted < look.wanted:
        return replace(course, lacking=(), fewer_at=now)
    regrets = (*course.regrets, now) if now - course.fewer_at <= REST else course.regrets
    peaks = _with_peak(course.peaks, now, decision.wanted, course.rest)
    return replace(course, lacking=(), fewer_at=-math.inf, regrets=regrets, peaks=peaks)


def _load(workers: Sequence[Load]) -> str:
    """`12 requests wait, workers compute (CPU 98 %)`, or `have all threads taken`."""
    waiting = sum(w.queued + max(0, w.taken - 1) + (max(0, w.busy - 1) if w.computes else 0) for w in workers)
    requests = f"{waiting} request{'s wait' if waiting != 1 else ' waits'}"
    computing = [worker for worker in workers if worker.computes]
    if not computing:
        return f"{requests}, and all threads are taken"
    if any(worker.hangs for worker in computing):
        return f"{requests}, and workers hang"
    known = [worker.cpu for worker in computing if worker.cpu is not None]
    cpu = f" (CPU {share(sum(known) / len(known))} each)" if known else ""
    whose = "all workers" if len(computing) == len(workers) else f"{len(computing)} workers"
    return f"{requests}, and {whose} compute{cpu}"
