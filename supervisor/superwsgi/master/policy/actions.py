"""What the master may do to its processes: decided in this folder and by the modules that watch them, carried
out in generations/deeds.py and nowhere else.

Each action names its target: the generation, and the worker by its key or the mold by its process id. Between
decision and deed the target may have gone, or have got other orders: then there is nothing to do.
"""

from __future__ import annotations

from dataclasses import dataclass

from superwsgi.master.policy.causes import Cause


@dataclass(frozen=True, slots=True)
class StartMold:
    generation: int


@dataclass(frozen=True, slots=True)
class EndMold:
    """End a mold that is of no use any more."""

    generation: int
    pid: int
    reason: str


@dataclass(frozen=True, slots=True)
class DismissMold:
    """Dismiss a mold that has loaded and is not needed."""

    generation: int
    pid: int


@dataclass(frozen=True, slots=True)
class ReplaceMold:
    """Replace a lost mold after a while: its generation goes on."""

    generation: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class ForkWorker:
    """Fork a worker with this number."""

    generation: int
    number: int


@dataclass(frozen=True, slots=True)
class DrainWorker:
    """`last`: no other worker serves once it has gone."""

    generation: int
    worker: int
    reason: str
    last: bool = False


@dataclass(frozen=True, slots=True)
class KillWorker:
    """`cause` is None for one that is overdue: what it is overdue for has one, or was planned."""

    generation: int
    worker: int
    reason: str
    cause: Cause | None = Cause.ASKED


@dataclass(frozen=True, slots=True)
class KillBroken:
    """Kill a worker that has sent an impossible message."""

    generation: int
    worker: int


@dataclass(frozen=True, slots=True)
class RemindWorker:
    """Tell a worker again that was told to go before it had begun."""

    generation: int
    worker: int


@dataclass(frozen=True, slots=True)
class RecycleWorker:
    """Have a worker replaced, if it is still serving; `leaves_first` if its replacement has to wait for
    that."""

    generation: int
    worker: int
    reason: str
    cause: Cause = Cause.ASKED
    leaves_first: bool = False


@dataclass(frozen=True, slots=True)
class DumpWorker:
    """Make a worker that hangs write its stacks."""

    generation: int
    worker: int
    reason: str


MoldAction = EndMold | DismissMold
"""Only for the mold that it names, not for a later one."""

WorkerAction = DrainWorker | KillWorker | KillBroken | RemindWorker | RecycleWorker | DumpWorker
Action = StartMold | ReplaceMold | MoldAction | ForkWorker | WorkerAction
