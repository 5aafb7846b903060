"""All generations that have processes, and the role of each. It decides nothing.

The site falls back to `current`; `candidate` is being loaded or rolled out, and takes over for good once its
roll-out is confirmed (reload.py). Until then the current generation keeps its mold, so going back needs
nothing from the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from superwsgi.board.scoreboard import Scoreboard
from superwsgi.master.generations.generation import Generation
from superwsgi.master.policy import governor
from superwsgi.master.processes.handles import MoldHandle, WorkerHandle
from superwsgi.master.sockets.listener import Listener
from superwsgi.master.states import GenerationEvent, GenerationState
from superwsgi.master.totals.totals import Totals
from superwsgi.system import machine

_LOADED = (GenerationState.READY, GenerationState.SERVING)
_BETWEEN = (GenerationState.WAITING, GenerationState.LOADING)


class Generations:
    """Iterates over a copy: a generation may disappear meanwhile. `totals` is what all of them count."""

    def __init__(self) -> None:
        self.current: Generation | None = None
        self.candidate: Generation | None = None
        self.last_number = 0
        self.totals = Totals()
        self.quarantine: dict[str, float] = {}  # kinds of requests that no worker runs, each until then
        self._all: dict[int, Generation] = {}

    def __iter__(self) -> Iterator[Generation]:
        return iter(list(self._all.values()))

    def __bool__(self) -> bool:
        return bool(self._all)

    # How they come and go.

    def next_number(self) -> int:
        """The number for a new generation."""
        self.last_number += 1
        return self.last_number

    def add(self, candidate: Generation) -> None:
        self._all[candidate.number] = candidate
        self.candidate = candidate

    def adopt(self, generations: Iterable[Generation], current: int, last_number: int) -> None:
        """Take the generations handed over by an earlier program of this process."""
        self._all = {generation.number: generation for generation in generations}
        self.current = self._all[current]
        self.last_number = last_number

    def promote(self) -> tuple[Generation, Generation | None]:
        """Make the candidate current; returns it and the one before it."""
        assert self.candidate is not None
        before, self.current, self.candidate = self.current, self.candidate, None
        return self.current, before

    def withdraw(self) -> Generation:
        """Stop treating the candidate as one; returns it."""
        candidate, self.candidate = self.candidate, None
        assert candidate is not None
        return candidate

    def sweep(self) -> None:
        """Forget ended generations whose processes are all gone."""
        for generation in self:
            if generation.is_over():
                generation.apply(GenerationEvent.EMPTY)
                del self._all[generation.number]
                generation.close()

    def relisten(self, old: Listener, new: Listener, reason: str) -> None:
        """Make every generation use another listener in place of one that cannot be mended."""
        for generation in self:
            if old in generation.listeners:
                generation.relisten(old, new, reason)
        old.sock.close()

    def put_in_quarantine(self, kinds: dict[str, float], now: float) -> None:
        """No worker is to run requests of these kinds, each until then, in monotonic seconds."""
        self.quarantine = kinds
        for generation, worker in self.workers():
            generation.put_in_quarantine(worker, kinds, now)

    # Which is which.

    def find(self, number: int) -> Generation | None:
        return self._all.get(number)

    def handles(self) -> Iterator[tuple[Generation, MoldHandle | WorkerHandle]]:
        """All molds and workers, each with its generation."""
        return ((generation, handle) for generation in self for handle in generation.handles())

    def workers(self) -> Iterator[tuple[Generation, WorkerHandle]]:
        """All workers, each with its generation."""
        return ((generation, worker) for generation in self for worker in list(generation.workers.values()))

    def living(self) -> Iterator[tuple[Scoreboard, WorkerHandle]]:
        """All workers, each with the scoreboard that it writes on."""
        return ((generation.board, worker) for generation, worker in self.workers())

    def target(self) -> Generation | None:
        """The generation whose workers there should be: the candidate once it has loaded, or once others make
        room for it."""
        candidate = self.candidate
        if candidate is not None and (candidate.state in _LOADED or self._makes_room_for(candidate)):
            return candidate
        return self.current

    def _makes_room_for(self, candidate: Generation) -> bool:
        return not candidate.site.rollout.overlap and candidate.state is not GenerationState.PREPARING

    def is_between(self) -> bool:
        """Whether the current generation was stopped so that another could run, or is being started again."""
        return self.current is not None and self.current.state in _BETWEEN

    def all_clear(self) -> bool:
        """Whether none has a process that may be in another generation's way."""
        return all(generation.is_clear() for generation in self)

    # What to log if a process fails on, or waits for, something that another one may have locked.

    def explain(self, generation: Generation, reason: str, *, locked: bool) -> str:
        """Why a process of a generation failed, and what to do if another one may hold the lock."""
        others = any(not other.is_empty() for other in self if other is not generation)
        active = [worker.number for worker in generation.workers.values()]
        advice = ""
        if locked and generation.site.rollout.overlap and (others or len(active) > len({*active})):
            advice = "; the running generation may hold it: with `rollout: {overlap: no}` it is stopped first"
        elif locked and len(active) > 1:
            advice = "; another worker may hold it: set `workers: 1`"
        return reason + advice

    def explain_wait(self, generation: Generation, pid: int, reason: str) -> str:
        """Why a process that is still booting is killed: it may be waiting for a lock."""
        waits = machine.waits_for_lock(pid)
        reason = f"{reason}; it is waiting for a file lock" if waits else reason
        return self.explain(generation, reason, locked=waits)

    # What the governor decides from.

    def view(self) -> governor.SiteView:
        target = self.target()
        can_fork = target is not None and target.can_fork()
        return governor.SiteView(
            wanted=target.wanted if target is not None else 0,
            target=target.number if target is not None and can_fork else None,
            fork_at=target.crashes.fork_at if target is not None else 0.0,
            early=target.crashes.early if target is not None else 0,
            workers=tuple(worker.view() for _, worker in self.workers()),
            batch=target.site.rollout.batch if target is not None else 1,
            proof=target.site.rollout.proof if target is not None else 0.0,
            alone=target.number if target is not None and self._alone(target) else None,
        )

    def _alone(self, target: Generation) -> bool:
        """Whether nothing else may run beside this generation, nor a worker beside its replacement."""
        waits = self.current is not None and self.current.state is GenerationState.WAITING
        return waits or not target.site.rollout.overlap


def only_in(generation: Generation, other: Generation | None) -> list[Listener]:
    """The listeners of one generation that the other one, if there is one, does not have."""
    kept = [] if other is None else other.listeners
    return [listener for listener in generation.listeners if listener not in kept]
