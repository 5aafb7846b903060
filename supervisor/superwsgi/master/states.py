"""The states of a worker and of a generation, as the master knows them: two tables and a function.

A table maps state and event to the next state; a pair that is absent is a bug in the master.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, TypeVar


class WorkerState(Enum):
    """What the master knows of a worker."""

    FORKING = "forking"  # asked of the mold
    BOOTING = "booting"  # a process, not serving yet
    SERVING = "serving"
    DRAINING = "draining"  # takes nothing new, answers what it has in hand
    ENDING = "ending"  # told to end now, or killed
    GONE = "gone"


class WorkerEvent(Enum):
    STARTED = auto()
    READY = auto()
    DRAIN = auto()
    STOP = auto()
    EXITED = auto()


class GenerationState(Enum):
    """Where a loaded version of configuration and application stands."""

    PREPARING = "preparing"  # the command in rollout.before runs
    WAITING = "waiting"  # has no processes, or they are ending: others must be gone before it may run (again)
    LOADING = "loading"  # its mold starts, and imports if preload says so
    READY = "ready"  # workers can be forked from its mold
    SERVING = "serving"  # at least one of its workers has served
    RETIRING = "retiring"  # a later one has taken over
    FAILED = "failed"  # it never took over; its processes are being ended
    GONE = "gone"


class GenerationEvent(Enum):
    PREPARED = auto()
    WAIT = auto()
    START = auto()
    LOADED = auto()
    WORKER_READY = auto()
    FAIL = auto()
    RETIRE = auto()
    EMPTY = auto()


WORKER: Final[dict[WorkerState, dict[WorkerEvent, WorkerState]]] = {
    WorkerState.FORKING: {
        WorkerEvent.STARTED: WorkerState.BOOTING,
        WorkerEvent.DRAIN: WorkerState.DRAINING,
        WorkerEvent.STOP: WorkerState.ENDING,
        WorkerEvent.EXITED: WorkerState.GONE,
    },
    WorkerState.BOOTING: {
        WorkerEvent.READY: WorkerState.SERVING,
        WorkerEvent.DRAIN: WorkerState.DRAINING,
        WorkerEvent.STOP: WorkerState.ENDING,
        WorkerEvent.EXITED: WorkerState.GONE,
    },
    WorkerState.SERVING: {
        WorkerEvent.DRAIN: WorkerState.DRAINING,
        WorkerEvent.STOP: WorkerState.ENDING,
        WorkerEvent.EXITED: WorkerState.GONE,
    },
    WorkerState.DRAINING: {
        WorkerEvent.STARTED: WorkerState.DRAINING,  # told to go before the mold had forked it
        WorkerEvent.READY: WorkerState.DRAINING,  # its message crossed ours: it may have requests in hand
        WorkerEvent.STOP: WorkerState.ENDING,
        WorkerEvent.EXITED: WorkerState.GONE,
    },
    WorkerState.ENDING: {
        WorkerEvent.STARTED: WorkerState.ENDING,  # told to end before the mold had forked it
        WorkerEvent.READY: WorkerState.ENDING,
        WorkerEvent.STOP: WorkerState.ENDING,
        WorkerEvent.EXITED: WorkerState.GONE,
    },
    WorkerState.GONE: {},
}

GENERATION: Final[dict[GenerationState, dict[GenerationEvent, GenerationState]]] = {
    GenerationState.PREPARING: {
        GenerationEvent.PREPARED: GenerationState.WAITING,
        GenerationEvent.FAIL: GenerationState.FAILED,
        GenerationEvent.RETIRE: GenerationState.RETIRING,
    },
    GenerationState.WAITING: {
        GenerationEvent.START: GenerationState.LOADING,
        GenerationEvent.LOADED: GenerationState.WAITING,  # its message crossed ours, as below
        GenerationEvent.WORKER_READY: GenerationState.WAITING,
        GenerationEvent.FAIL: GenerationState.FAILED,
        GenerationEvent.RETIRE: GenerationState.RETIRING,
    },
    GenerationState.LOADING: {
        GenerationEvent.WAIT: GenerationState.WAITING,
        GenerationEvent.LOADED: GenerationState.READY,
        GenerationEvent.FAIL: GenerationState.FAILED,
        GenerationEvent.RETIRE: GenerationState.RETIRING,
    },
    GenerationState.READY: {
        GenerationEvent.WAIT: GenerationState.WAITING,
        GenerationEvent.LOADED: GenerationState.READY,  # its mold was replaced
        GenerationEvent.WORKER_READY: GenerationState.SERVING,
        GenerationEvent.FAIL: GenerationState.FAILED,
        GenerationEvent.RETIRE: GenerationState.RETIRING,
    },
    GenerationState.SERVING: {
        GenerationEvent.WAIT: GenerationState.WAITING,
        GenerationEvent.LOADED: GenerationState.SERVING,
        GenerationEvent.WORKER_READY: GenerationState.SERVING,
        GenerationEvent.FAIL: GenerationState.FAILED,
        GenerationEvent.RETIRE: GenerationState.RETIRING,
    },
    GenerationState.RETIRING: {
        GenerationEvent.LOADED: GenerationState.RETIRING,
        GenerationEvent.WORKER_READY: GenerationState.RETIRING,
        GenerationEvent.FAIL: GenerationState.RETIRING,
        GenerationEvent.RETIRE: GenerationState.RETIRING,
        GenerationEvent.EMPTY: GenerationState.GONE,
    },
    GenerationState.FAILED: {
        GenerationEvent.LOADED: GenerationState.FAILED,
        GenerationEvent.WORKER_READY: GenerationState.FAILED,
        GenerationEvent.FAIL: GenerationState.FAILED,
        GenerationEvent.RETIRE: GenerationState.FAILED,
        GenerationEvent.EMPTY: GenerationState.GONE,
    },
    GenerationState.GONE: {},
}

State = TypeVar("State", bound=Enum)
Event = TypeVar("Event", bound=Enum)


class ImpossibleEvent(Exception):
    """The master let something happen that is not in its tables: a bug in the master."""


def after(table: dict[State, dict[Event, State]], state: State, event: Event) -> State:
    """The next state. Raises ImpossibleEvent for a pair that is not in the table."""
    try:
        return table[state][event]
    except KeyError:
        raise ImpossibleEvent(f"{event.name} in state {state.value}") from None
