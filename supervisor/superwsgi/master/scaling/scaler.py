"""Has workers come and go with the load, where a site's `workers` is a range: looks at those that serve, and
has scaling/demand.py decide. A change is only another number (scaling/numbers.py): the governor sees to the
rest. What it spends is some 0.2 ms a look and worker; a site with a fixed number is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from superwsgi.board.counts import REFUSED
from superwsgi.master.context import MasterContext
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.policy import shortage
from superwsgi.master.policy.limits import heartbeat
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.processes.usage import cpu_seconds, memory_used
from superwsgi.master.scaling import demand, memory
from superwsgi.master.scaling.demand import LOOK, Course, Load, SiteLoad, WorkerRoom
from superwsgi.master.states import WorkerState
from superwsgi.messages import MayGrow, Spread
from superwsgi.system import machine

SPREAD = 5.0
"""Seconds for which workers end connections beyond their share once others have come for load."""

_AFTER_DEATH = 10.0
"""Seconds after a worker has died right after its start before any is added."""

_ROOM_STAYS = 5.0
"""Seconds for which it is known for how many workers there is memory."""

_NO_THREAD = 503


class Scaler:
    """What it knows is of the generation whose workers there should be; with the next it begins anew."""

    def __init__(
        self, context: MasterContext, generations: Generations, is_memory_short: Callable[[], bool]
    ) -> None:
        self._is_memory_short = is_memory_short
        self._loop = context.loop
        self._errors = context.errors
        self._generations = generations
        self._of = 0  # the generation that the course is of
        self._course = Course(0.0, 0.0)
        self._said = ""  # what there is no more of: it is in the log
        self._said_at = 0.0
        self._cpus = 1
        self._room = memory.UNKNOWN  # for how many workers there is memory
        self._room_known_until = 0.0
        self._refused: dict[int, int] = {}  # requests that workers had refused at the last look, by key
        self._spent: dict[int, tuple[float, float]] = {}  # CPU seconds of workers at the last look, and when

    def look(self, now: float) -> None:
        """Look, now and from now on."""
        self._loop.call_at(now + LOOK, self.look)
        target = self._generations.target()
        if target is None or target.is_leaving():
            return
        self._have_spread(target, now)
        if target.numbers.elastic:
            self._follow_load(target, now)
        _tell_growth(target, self._may_grow(target, now), now)

    def _follow_load(self, target: Generation, now: float) -> None:
        if self._of != target.number:
            self._of, self._course, self._said = target.number, Course(now, now), ""
            self._room, self._room_known_until = memory.UNKNOWN, 0.0
            self._cpus = machine.cpus()
        look = self._look_at(target, now)
        self._course = demand.observe(self._course, look, now)
        if demand.calls_for_spread(self._course):
            spread(target, now)
        decision = demand.decide(self._course, look, self._room_for(target, look, now), now)
        self._course = demand.stepped(self._course, decision, look, now)
        if decision.wanted != look.wanted:
            self._change(target, decision.wanted, decision.reason)
        elif decision.limit is not None:
            self._hold_back(target, decision.limit, decision.reason, now)
        elif self._course.is_calm:
            target.numbers.held_back = ""
            self._said = "" if now - self._said_at > demand.REST else self._said

    def _room_for(self, target: Generation, look: SiteLoad, now: float) -> WorkerRoom:
        """Memory is asked for only where the load calls for more, and not at each look: the kernel looks at
        each page for it, some milliseconds for a large process. While it is short, workers are recycled for
        that, and none is added."""
        if self._is_memory_short():
            return WorkerRoom(look.wanted, "memory", "memory is short")
        if self._course.calls_for and look.wanted < look.most and now >= self._room_known_until:
            self._room, self._room_known_until = _room(target), now + _ROOM_STAYS
        return self._room

    def _change(self, target: Generation, wanted: int, reason: str) -> None:
        numbers, before = target.numbers, target.wanted
        numbers.scale(wanted)
        self._room_known_until = 0.0
        candidate = self._generations.candidate
        if candidate is not None and candidate is not target:
            candidate.numbers.succeed(numbers)
        self._said = ""
        then = f"from {numbers.least} to {numbers.most}, as the load calls for"
        self._errors.info("worker count changed", workers=wanted, before=before, reason=reason, next=then)

    def _hold_back(self, target: Generation, limit: WorkerRoom, load: str, now: float) -> None:
        """Said once, until it is over for a while or something else holds it back."""
        target.numbers.held_back = limit.reason
        if self._said != limit.of:
            then = "requests wait for the workers that there are"
            self._errors.info(
                "no more workers", workers=target.wanted, reason=limit.reason, load=load, next=then
            )
        self._said, self._said_at = limit.of, now

    # What it looks at.

    def _look_at(self, target: Generation, now: float) -> SiteLoad:
        numbers = target.numbers
        workers = [worker for worker in target.workers.values() if worker.state is WorkerState.SERVING]
        able = [worker for worker in workers if worker.stopped_at is None]
        loads = tuple([self._load(target, worker, now) for worker in able])
        here = {worker.key for worker in able}
        self._spent = {key: spent for key, spent in self._spent.items() if key in here}
        self._refused = {key: count for key, count in self._refused.items() if key in here}
        all_serve = {worker.number for worker in workers}.issuperset(range(1, numbers.wanted + 1))
        return SiteLoad(
            numbers.wanted,
            numbers.least,
            numbers.most,
            self._cpus,
            loads,
            settled=all_serve and not _dies(target, now),
            patience=target.site.timeouts.graceful / 2,
        )

    def _load(self, target: Generation, worker: WorkerHandle, now: float) -> Load:
        """With nothing on it larger than is possible."""
        site, began = target.site, worker.ready_at or now
        counters = target.board.read(worker.slot, worker.counts)
        threads = shortage.view(counters, site, worker.ready_at, now)
        since = min((max(request.started, began) for request in counters.in_flight), default=now)
        return Load(
            worker.number,
            busy=threads.busy,
            most=threads.most,
            free=threads.free,
            queued=threads.queued,
            taken=min(counters.taken, site.limits.connections),
            refused=self._refused_since(target, worker),
            hesitates=threads.computes,
            hangs=heartbeat.silent(*target.board.pulse(worker.slot), began, now) is not None,
            cpu=self._cpu(worker, now),
            longest=max(0.0, now - since),
        )

    def _cpu(self, worker: WorkerHandle, now: float) -> float | None:
        """CPU seconds a second since the last look, None at the first one."""
        seconds = None if worker.pid is None else cpu_seconds(worker.pid)
        if seconds is None:
            return None
        before = self._spent.get(worker.key)
        self._spent[worker.key] = seconds, now
        if before is None or now <= before[1]:
            return None
        return max(0.0, seconds - before[0]) / (now - before[1])

    def _refused_since(self, target: Generation, worker: WorkerHandle) -> int:
        """Requests that have found no thread in time since the last look."""
        count = target.board.refused(worker.slot)[REFUSED.index(_NO_THREAD)]
        before = self._refused.get(worker.key, count)
        self._refused[worker.key] = count
        return min(max(0, count - before), target.site.limits.connections)

    # What workers are told.

    def _have_spread(self, target: Generation, now: float) -> None:
        """Once those that were added serve, connections are to come to them."""
        if target.numbers.arrived:
            target.numbers.arrived = False
            spread(target, now)

    def _may_grow(self, target: Generation, now: float) -> bool:
        """Whether more workers may still be started, or are about to serve."""
        numbers = target.numbers
        if not numbers.elastic or _dies(target, now):
            return False
        if numbers.expected:
            return target.can_fork() or any(w.number in numbers.expected for w in target.workers.values())
        return numbers.wanted < numbers.most and not numbers.held_back


def _dies(target: Generation, now: float) -> bool:
    crashes = target.crashes
    lately = crashes.last_early is not None and now - crashes.last_early < _AFTER_DEATH
    return crashes.looping(now) or (bool(crashes.early) and lately)


def _room(target: Generation) -> WorkerRoom:
    resident, left = [*_resident(target)], memory.left(machine.rooms())
    if not resident or left is None:
        return memory.UNKNOWN
    largest, pid = max(resident)
    limits = target.memory
    limit, key = (limits.soft, "memory.soft") if limits.soft is not None else (limits.hard, "memory.hard")
    view = memory.MemoryView(
        total=machine.memory(),
        left=left,
        resident=tuple([rss for rss, _ in resident]),
        own=memory_used(pid, "uss") or largest,
        limit=limit,
        measure=limits.measure,
        key=key,
    )
    return memory.room(view)


def _resident(target: Generation) -> Iterator[tuple[int, int]]:
    """Bytes and process id of each worker that serves."""
    for worker in target.workers.values():
        rss = memory_used(worker.pid, "rss") if worker.pid is not None else None
        if rss is not None and worker.pid is not None and worker.state is WorkerState.SERVING:
            yield rss, worker.pid


# What workers are told of load.


def _tell_growth(generation: Generation, workers: bool, now: float) -> None:
    """Whether there may be more of them for load: told to those that do not know."""
    for worker in _hearing(generation, now):
        if worker.may_grow is not workers:
            worker.may_grow = workers
            generation.tell(worker, MayGrow(workers), now)


def spread(generation: Generation, now: float) -> None:
    """Others have come: have workers with more connections than their share end some, politely."""
    for worker in _hearing(generation, now):
        generation.tell(worker, Spread(SPREAD), now)


def _hearing(generation: Generation, now: float) -> Iterator[WorkerHandle]:
    """Workers that serve, and that read and understand what is said about load: what one that hangs is told
    over and over again would fill its channel, and that is an end of it."""
    for worker in list(generation.workers.values()):
        if worker.state is WorkerState.SERVING and worker.may_grow is not None:
            pulse = generation.board.pulse(worker.slot)
            silent = heartbeat.silent(*pulse, worker.ready_at or now, now)
            if silent is None and worker.stopped_at is None:
                yield worker
