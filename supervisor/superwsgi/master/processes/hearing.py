"""What a mold, a worker or the admin process may say, and when: one table for each.

Application code runs in both and has their channels, so anything may be forged, by that code or by a process
that it forked. The master believes only what this process can say after what it said before; a pair that is
absent is a forgery, not our error. Nothing may be repeated without end, so nobody can flood us: a mold says
ForkFailed only of a worker that it was asked for, a worker answers only questions, and what has gone wrong is
said only so often (handles.py).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Final

from superwsgi.channel import Forged
from superwsgi.messages import (
    Alive,
    BootFailed,
    Connect,
    ForkFailed,
    Grows,
    Loaded,
    LoadFailed,
    Ready,
    Recycle,
    Started,
    ThreadsAt,
    Tried,
    Unforkable,
    WentWrong,
    Word,
)


class Said(Enum):
    """How far a process has come, by its own words."""

    NOTHING = "nothing"
    STARTED = "started"  # a worker: it is a process
    READY = "ready"  # a worker serves, a mold can be forked
    LAST = "last"  # nothing may follow but answers


Table = dict[Said, dict[type[Word], Said]]

WORKER: Final[Table] = {
    Said.NOTHING: {Started: Said.STARTED},
    Said.STARTED: {WentWrong: Said.STARTED, Ready: Said.READY, BootFailed: Said.LAST},
    Said.READY: {WentWrong: Said.READY, Recycle: Said.LAST, ThreadsAt: Said.READY, Grows: Said.READY},
    Said.LAST: {WentWrong: Said.LAST, ThreadsAt: Said.LAST, Grows: Said.LAST},
}

MOLD: Final[Table] = {
    Said.NOTHING: {WentWrong: Said.NOTHING, Loaded: Said.READY, Unforkable: Said.LAST, LoadFailed: Said.LAST},
    Said.STARTED: {},
    Said.READY: {WentWrong: Said.READY, ForkFailed: Said.READY, LoadFailed: Said.LAST},
    Said.LAST: {WentWrong: Said.LAST},
}

TRIED_OUT: Final[Table] = {
    Said.NOTHING: {WentWrong: Said.NOTHING, Tried: Said.LAST, LoadFailed: Said.LAST},
    Said.STARTED: {},
    Said.READY: {},
    Said.LAST: {},
}
"""Of a mold that `superwsgi check` has started."""

ADMIN: Final[Table] = {
    Said.NOTHING: {WentWrong: Said.NOTHING, Ready: Said.READY},
    Said.STARTED: {},
    Said.READY: {WentWrong: Said.READY, Alive: Said.READY, Connect: Said.READY},
    Said.LAST: {},
}


def after(table: Table, said: Said, word: Word, *, sender: int, of: int) -> Said:
    """How far the process `of` has come with one more word. Raises Forged."""
    name = type(word).__name__
    if sender != of:
        raise Forged(f"{name} from process {sender}", sender)
    if type(word) not in table[said]:
        raise Forged(f"{name} after {said.value}", sender)
    return table[said][type(word)]


def beginner(word: Word, *, sender: int, is_free: Callable[[int], bool]) -> int:
    """The process id of a worker that has not said anything before; `is_free` tells whether a process is our
    child and not yet known as something else. Raises Forged."""
    after(WORKER, Said.NOTHING, word, sender=sender, of=sender)
    assert isinstance(word, Started)
    if word.pid != sender:
        raise Forged(f"Started as process {word.pid} from process {sender}", sender)
    if not is_free(sender):
        raise Forged(f"Started from process {sender}, which is not a new child of the master", sender)
    return sender
