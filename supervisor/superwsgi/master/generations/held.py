"""A generation across an upgrade: what the next program of this process is told of it, and what it makes of
that.
"""

from __future__ import annotations

from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.pipes import Pipes
from superwsgi.master.generations.resources import LogFiles, Shared
from superwsgi.master.handover import HeldGeneration
from superwsgi.master.processes.handles import MoldHandle, WorkerHandle
from superwsgi.master.processes.launch import Launch
from superwsgi.master.release import Release
from superwsgi.master.sockets.listener import Listener
from superwsgi.master.states import GenerationState


def restore(
    held: HeldGeneration, release: Release, listeners: list[Listener], launch: Launch, loop: EventLoop
) -> Generation:
    """A generation handed over by an earlier program of this process. Raises ValueError if its scoreboard is
    not readable."""
    logs = LogFiles(held.site.log, held.error_log, held.access_log)
    shared = Shared(listeners, logs, expires=held.expires, metrics=held.metrics)
    board = held.attach()
    pipes = Pipes(loop, captured=held.site.log.capture, stacks=held.stacks, output=held.output)
    generation = Generation(held.number, held.site, release, shared, launch, loop, board, pipes)
    generation.state = held.state
    generation.proven = held.state is GenerationState.SERVING
    numbers = generation.numbers
    numbers.wanted, numbers.pinned, numbers.room = held.wanted, held.pinned, board.slots // 2
    generation.forkable = held.forkable
    generation.mold = MoldHandle.restore(held.mold) if held.mold is not None else None
    workers = (WorkerHandle.restore(worker, held.number) for worker in held.workers)
    generation.workers = {worker.slot: worker for worker in workers}
    return generation


def hold(generation: Generation) -> HeldGeneration:
    """What the next program of this process needs to continue it."""
    listeners, logs, output = generation.listeners, generation.logs, generation.pipes.output
    return HeldGeneration(
        number=generation.number,
        site=generation.site,
        release=generation.release,
        state=generation.state,
        wanted=generation.wanted,
        pinned=generation.numbers.pinned,
        board=generation.board.fd,
        error_log=logs.error,
        access_log=logs.access,
        listeners=[each.hold() for each in listeners if each.sock.fileno() >= 0],
        mold=generation.mold.hold() if generation.mold is not None else None,
        workers=[worker.hold() for worker in generation.workers.values()],
        forkable=generation.forkable,
        stacks=(generation.stacks.fd, generation.stacks.end),
        output=output.ends if output is not None else None,
        expires=generation.expires,
        metrics=generation.metrics,
    )
