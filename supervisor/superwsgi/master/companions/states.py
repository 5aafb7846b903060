"""The states of a companion, as a table: state and event to the next state. A pair that is absent is a bug in
the master.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final


class CompanionState(Enum):
    """Of one place that a companion has, whatever process is in it."""

    WAITING = "waiting"  # no process: to be started, perhaps after a delay
    RUNNING = "running"
    ENDING = "ending"  # told to end
    KILLED = "killed"
    CLEARING = "clearing"  # it has ended, and what it has started is being ended


class CompanionEvent(Enum):
    STARTED = auto()
    TOLD = auto()
    KILL = auto()
    EXITED = auto()
    CLEARED = auto()


COMPANION: Final[dict[CompanionState, dict[CompanionEvent, CompanionState]]] = {
    CompanionState.WAITING: {
        CompanionEvent.STARTED: CompanionState.RUNNING,
    },
    CompanionState.RUNNING: {
        CompanionEvent.TOLD: CompanionState.ENDING,
        CompanionEvent.KILL: CompanionState.KILLED,
        CompanionEvent.EXITED: CompanionState.CLEARING,
    },
    CompanionState.ENDING: {
        CompanionEvent.KILL: CompanionState.KILLED,
        CompanionEvent.EXITED: CompanionState.CLEARING,
    },
    CompanionState.KILLED: {
        CompanionEvent.EXITED: CompanionState.CLEARING,
    },
    CompanionState.CLEARING: {
        CompanionEvent.CLEARED: CompanionState.WAITING,
    },
}
