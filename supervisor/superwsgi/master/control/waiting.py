"""What somebody who waits is told: in words, what is to happen next. It only reads, and names no moment, so
that a text stays the same until something happens.
"""

from __future__ import annotations

from superwsgi.log.spelling import duration
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.record import unanswered
from superwsgi.master.processes.handles import WorkerHandle
from superwsgi.master.states import GenerationState, WorkerState

_STARTS = {WorkerState.FORKING: "is being forked", WorkerState.BOOTING: "boots"}


def name(worker: WorkerHandle) -> str:
    """`worker 2 (pid 812)`."""
    return f"worker {worker.number}" + ("" if worker.pid is None else f" (pid {worker.pid})")


def in_hand(generation: Generation, worker: WorkerHandle) -> str:
    """`GET /report 3f08-17`, or `3 requests, the oldest GET /report 3f08-17`; empty if there is none."""
    counters = generation.board.read(worker.slot)
    count = unanswered(counters)
    count += len(counters.taken_over)
    oldest = min(counters.in_hand, key=lambda each: each.started, default=None)
    if oldest is None:
        return f"{count} request{'s' * (count > 1)}" if count else ""
    shown = " ".join(filter(None, (oldest.method, oldest.path.partition("?")[0], oldest.id)))
    return f"{count} requests, the oldest {shown}" if count > 1 else shown


def for_end(generation: Generation, worker: WorkerHandle) -> str:
    """`worker 2 (pid 812) answers GET /report 3f08-17, at most 30s (timeouts.graceful)`."""
    if worker.state is not WorkerState.DRAINING:
        return f"{name(worker)} ends"
    held = in_hand(generation, worker)
    if not held:
        return f"{name(worker)} drains"
    most = duration(generation.site.timeouts.lame_duck + generation.site.timeouts.graceful)
    return f"{name(worker)} answers {held}, at most {most} (timeouts.graceful)"


def for_start(worker: WorkerHandle) -> str:
    """`worker 2 (pid 830) boots`."""
    return f"{name(worker)} {_STARTS.get(worker.state, 'is to serve')}"


def for_reload(candidate: Generation, *, rolled_out: bool) -> str:
    """What its roll-out waits for; empty where its stage says it all."""
    if candidate.state is GenerationState.LOADING and candidate.mold is not None:
        return f"pid {candidate.mold.pid} starts"
    if rolled_out:
        return f"watched for {duration(candidate.site.rollout.confirm)} (rollout.confirm)"
    beginning = [worker for worker in candidate.workers.values() if worker.state in _STARTS]
    if beginning:
        return for_start(beginning[0])
    if len(candidate.workers) == 1 and candidate.wanted > 1:
        return f"the first one has to serve for {duration(candidate.site.rollout.proof)}"
    return ""


def for_stop(generations: Generations) -> str:
    """The worker that has most to do, or the processes after it."""
    left = [*generations.workers()]
    if left:
        return for_end(*max(left, key=lambda pair: unanswered(pair[0].board.read(pair[1].slot))))
    molds = [each.mold.pid for each in generations if each.mold is not None]
    return f"mold (pid {molds[0]}) ends" if molds else ""
