"""The governor decides which worker is forked, drained or killed next. A pure function of a view.

Everything that calls for a replacement (a crash, memory, request count, a reload or its roll back, a changed
worker count) only changes the view; the same few rules apply to all:

1. A number without a worker gets one at once, unless the back-off delays it; in a crash loop, while none
   serves, one at a time. A worker whose number is not wanted is drained.
2. A worker that should go (recycled, or of another generation than the target) is drained only once its
   replacement serves: replacement first, one at a time, and no worker is ever missing.
3. The first worker of a generation has to serve for `proof` seconds before any worker goes because of it and
   before the next ones are forked: a version that dies on its first requests takes no other worker with it.
   From then on `batch` workers move over at a time.
4. Recycling waits until the last recycled worker is gone, so that at most one more worker takes memory; a
   roll-out does not wait for old workers to finish draining.
5. Where memory is short, a worker that is recycled for it is drained first, and forked anew once it is gone:
   two of them may be more than there is room for.

If nothing may run beside its replacement (`alone`), one rule replaces 2 to 4: what should go is drained at
once, recycled workers one at a time, and missing workers are forked once all of that is gone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

from superwsgi.master.policy.actions import Action, DrainWorker, ForkWorker, KillWorker
from superwsgi.master.policy.death import crash_loop
from superwsgi.master.states import WorkerState

_ACTIVE: Final = frozenset({WorkerState.FORKING, WorkerState.BOOTING, WorkerState.SERVING})


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One worker as the master sees it; times in monotonic seconds."""

    key: int
    number: int
    generation: int
    state: WorkerState
    ready_at: float | None = None
    recycle: str | None = None  # why it should be replaced
    leaves_first: bool = False  # it is gone before its replacement is forked
    deadline: float | None = None  # when it is killed, if it is still there
    overdue: str = ""  # the reason that is logged then


@dataclass(frozen=True, slots=True)
class SiteView:
    """Everything that a decision depends on besides the time."""

    wanted: int
    target: int | None  # the generation to fork from; None while no mold can fork
    fork_at: float  # the earliest time, by the back-off
    workers: tuple[WorkerView, ...] = ()
    batch: int = 1  # workers that move over at a time
    proof: float = 1.0  # seconds that the first of them serves before
    alone: int | None = None  # a generation that must run alone, as must each worker without its replacement
    early: int = 0  # workers that have died early, one after another


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do now, and when to ask again even if nothing happens (None: not before something does)."""

    actions: tuple[Action, ...]
    ask_at: float | None


def decide(view: SiteView, now: float) -> Plan:
    """What the master does next."""
    kills = [*_kills(view, now)]
    killed = {action.worker for action in kills}
    active = [w for w in view.workers if w.state in _ACTIVE and w.key not in killed]
    follow = _side_by_side if view.alone is None else _one_after_another
    plan = follow(view, active, now)
    times = [w.deadline for w in view.workers if w.deadline is not None and w.key not in killed]
    times += [plan.ask_at] if plan.ask_at is not None else []
    return Plan((*kills, *plan.actions), min(times, default=None))


def _side_by_side(view: SiteView, active: list[WorkerView], now: float) -> Plan:
    """Replacement first."""
    actions: list[ForkWorker | DrainWorker] = []
    times: list[float] = []
    first = [w for w in active if w.leaves_first]
    surplus = [w for w in active if w.number > view.wanted and w not in first]
    active = [w for w in active if w.number <= view.wanted and w not in first]

    present = {w.number for w in active} | {w.number for w in view.workers if w.leaves_first}
    missing = _to_try(view, active, [n for n in range(1, view.wanted + 1) if n not in present])
    if view.target is not None and not missing and now >= view.fork_at:
        actions += [_drain(w, str(w.recycle), last=view.wanted == 1) for w in first]
    if missing and view.target is not None:
        if now >= view.fork_at:
            actions += [ForkWorker(view.target, n) for n in missing]
        else:
            times.append(view.fork_at)

    if view.target is not None:
        proven_at = _proven_at(view)
        if proven_at is not None and now >= proven_at:
            actions += [_drain(w, "one worker fewer") for w in surplus]
            actions += _superseded(view.target, active)
        elif proven_at is not None:
            times.append(proven_at)
        if not missing and now >= view.fork_at:
            actions += _next_replacement(view, active, proven=proven_at is not None and now >= proven_at)
        elif now < view.fork_at:
            times.append(view.fork_at)
    return Plan(tuple(actions), min(times, default=None))


def _one_after_another(view: SiteView, active: list[WorkerView], now: float) -> Plan:
    """Drain what should go first; `view.alone` is the generation that stays."""
    stale = [w for w in active if w.generation != view.alone]
    own = [w for w in active if w.generation == view.alone]
    room = "makes room for another generation"
    actions: list[ForkWorker | DrainWorker] = [_drain(w, room, last=True) for w in stale]
    actions += [_drain(w, "one worker fewer") for w in own if w.number > view.wanted]
    serving = {w.number for w in own if w.state is WorkerState.SERVING}
    if serving.issuperset(range(1, view.wanted + 1)):
        recycled = (w for w in own if w.recycle is not None and w.number <= view.wanted)
        actions += [_drain(w, str(w.recycle), last=view.wanted == 1) for w in islice(recycled, 1)]
    missing = _to_try(view, active, _free_numbers(view))
    if view.target is None or not missing:
        return Plan(tuple(actions), None)
    if now < view.fork_at:
        return Plan(tuple(actions), view.fork_at)
    return Plan((*actions, *(ForkWorker(view.target, number) for number in missing)), None)


def _drain(worker: WorkerView, reason: str, *, last: bool = False) -> DrainWorker:
    return DrainWorker(worker.generation, worker.key, reason, last)


def _free_numbers(view: SiteView) -> list[int]:
    """Wanted numbers whose last worker is completely gone, while no other generation has a process."""
    if any(w.generation != view.alone for w in view.workers):
        return []
    present = {w.number for w in view.workers}
    return [number for number in range(1, view.wanted + 1) if number not in present]


def _to_try(view: SiteView, active: list[WorkerView], missing: list[int]) -> list[int]:
    """Those of the missing numbers that are to be forked: in a crash loop one at a time, each in turn, until
    there is one that serves. More would only fail, too."""
    if not crash_loop(view.early) or not missing or any(w.state is WorkerState.SERVING for w in active):
        return missing
    return [] if active else [missing[view.early % len(missing)]]


def rolled_out(view: SiteView) -> bool:
    """Whether every wanted worker is of the target generation and serving, and no other is left to drain."""
    active = [w for w in view.workers if w.state in _ACTIVE]
    fresh = all(w.generation == view.target and w.ready_at is not None for w in active)
    return fresh and len({w.number for w in active}) >= view.wanted


def _kills(view: SiteView, now: float) -> Iterator[KillWorker]:
    for worker in view.workers:
        if worker.deadline is not None and now >= worker.deadline:
            yield KillWorker(worker.generation, worker.key, worker.overdue, cause=None)


def _proven_at(view: SiteView) -> float | None:
    """When the first worker of the target generation has served long enough; None while none serves."""
    ready = [w.ready_at for w in view.workers if w.generation == view.target and w.ready_at is not None]
    return min(ready) + view.proof if ready else None


def _fresh(worker: WorkerView, target: int) -> bool:
    return worker.generation == target and worker.recycle is None


def _superseded(target: int, active: list[WorkerView]) -> Iterator[DrainWorker]:
    """Drain workers that should go and whose replacement serves."""
    serving = {w.number for w in active if _fresh(w, target) and w.state is WorkerState.SERVING}
    for worker in active:
        if not _fresh(worker, target) and worker.number in serving:
            yield _drain(worker, worker.recycle or "replaced by a later generation")


def _next_replacement(view: SiteView, active: list[WorkerView], *, proven: bool) -> Iterator[ForkWorker]:
    """Fork replacements beside workers that should go, if it is time: one, or in a roll-out a batch."""
    target = view.target
    assert target is not None
    fresh = {w.number for w in active if _fresh(w, target)}
    stale = [w for w in active if not _fresh(w, target) and w.number not in fresh]
    underway = any(_fresh(w, target) and w.state is not WorkerState.SERVING for w in active)
    begun = any(w.generation == target for w in active)
    if not stale or underway or (begun and not proven):
        return
    in_turn = sorted(stale, key=lambda w: (w.recycle is None, w.number))
    if in_turn[0].generation != target:
        moving = (w for w in in_turn if w.generation != target)
        yield from (ForkWorker(target, w.number) for w in islice(moving, view.batch if begun else 1))
        return
    recycled_not_gone = any(
        w.recycle and (w.state is WorkerState.DRAINING or w.number in fresh) for w in view.workers
    )
    if not recycled_not_gone:
        yield ForkWorker(target, in_turn[0].number)
