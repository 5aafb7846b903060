"""What the master may do to its processes: decided in this folder and by what looks at them, carried out in
generations/deeds.py, and nowhere else.

Each names the generation, and the worker by its key or the mold by its process id, that it is for. Between
the decision and the deed that may have gone, or have been told something else: then there is nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StartMold:
    generation: int


@dataclass(frozen=True, slots=True)
class EndMold:
    """One that is of no use any more."""

    generation: int
    pid: int
    reason: str


@dataclass(frozen=True, slots=True)
class DismissMold:
    """One that has loaded, and that nobody needs."""

    generation: int
    pid: int


@dataclass(frozen=True, slots=True)
class ReplaceMold:
    """One that was lost, after a while: its generation goes on."""

    generation: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class ForkWorker:
    """A worker of this number."""

    generation: int
    number: int


@dataclass(frozen=True, slots=True)
class DrainWorker:
    generation: int
    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class KillWorker:
    generation: int
    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class KillBroken:
    """Kill a worker that has said what it cannot have said."""

    generation: int
    worker: int


@dataclass(frozen=True, slots=True)
class RemindWorker:
    """One that was told to go before it had begun."""

    generation: int
    worker: int


@dataclass(frozen=True, slots=True)
class RecycleWorker:
    """Have a worker replaced, for as long as it serves."""

    generation: int
    worker: int
    reason: str


@dataclass(frozen=True, slots=True)
class DumpWorker:
    """Have a worker that hangs write its stacks."""

    generation: int
    worker: int
    reason: str


MoldAction = EndMold | DismissMold
"""For the mold that it names, and no later one."""

WorkerAction = DrainWorker | KillWorker | KillBroken | RemindWorker | RecycleWorker | DumpWorker
Action = StartMold | ReplaceMold | MoldAction | ForkWorker | WorkerAction
