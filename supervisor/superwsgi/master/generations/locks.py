"""What to log if a process fails on, or waits for, something that another process of the site may have
locked."""

from __future__ import annotations

from superwsgi.master.generations.generation import Generation
from superwsgi.master.generations.generations import Generations
from superwsgi.system import machine


def explain(generations: Generations, generation: Generation, reason: str, *, locked: bool) -> str:
    """Why a process of a generation failed, and what to do if another one may hold the lock."""
    others = generations.others_run(generation)
    active = [worker.number for worker in generation.workers.values()]
    advice = ""
    if locked and generation.site.rollout.overlap and (others or len(active) > len({*active})):
        advice = "; the running generation may hold it: with `rollout: {overlap: no}` it is stopped first"
    elif locked and len(active) > 1:
        advice = "; another worker may hold it: set `workers: 1`"
    return reason + advice


def explain_wait(generations: Generations, generation: Generation, pid: int, reason: str) -> str:
    """Why a process that is still booting is killed: it may be waiting for a lock."""
    waits = machine.waits_for_lock(pid)
    reason = f"{reason}; it is waiting for a file lock" if waits else reason
    return explain(generations, generation, reason, locked=waits)
