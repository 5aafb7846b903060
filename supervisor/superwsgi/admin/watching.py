"""The site as it is: one thread asks the master, each second for the history, and at once when somebody wants
to know; however many want to know, they share the answer.

An answer was asked for after whoever gets it had come: no two of status, page and metrics differ because one
of them is old.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

import msgspec

from superwsgi.admin import shown
from superwsgi.admin.asking import PATIENCE, Asking, Unanswered
from superwsgi.control import Snapshot, StatusRequest

EVERY: Final = 1.0
"""Seconds between two looks."""

Noted = Callable[[Snapshot, float], object]
"""Called with each regular look, and when it was, monotonic seconds."""


class Look:
    """One answer of the master, `number` by number. It is encoded once, if at all."""

    def __init__(self, number: int, snapshot: Snapshot) -> None:
        self.number = number
        self.snapshot = snapshot
        self._lock = threading.Lock()
        self._encoded: bytes | None = None

    def encoded(self) -> bytes:
        """As JSON, on one line."""
        with self._lock:
            if self._encoded is None:
                self._encoded = msgspec.json.encode(self.snapshot)
            return self._encoded


class Watching:
    """`run` is the thread's life; the other methods are for all others."""

    def __init__(self, asking: Asking, noted: Noted = lambda *_: None) -> None:
        self._asking = asking
        self._noted = noted
        self._changed = threading.Condition()
        self._look: Look | None = None
        self._begun = 0  # how many looks have begun
        self._wanted = 0  # the number of the look that somebody waits for
        self._failure = ""  # of the last look
        self._failed = 0  # its number
        self._watchers = 0
        self.ended = False

    def fresh(self, patience: float = PATIENCE) -> Look:
        """The site as it is from now on. Raises Unanswered."""
        until = time.monotonic() + patience
        with self._changed:
            wanted = self._wanted = self._begun + 1
            self._changed.notify_all()
            while self._look is None or self._look.number < wanted:
                if self._failed >= wanted:
                    raise Unanswered(self._failure)
                if self.ended or not self._changed.wait(until - time.monotonic()):
                    raise Unanswered("the master does not answer")
            return self._look

    def after(self, number: int, patience: float) -> Look | None:
        """The next look after that one, None if there is none within `patience` seconds, or at the end."""
        until = time.monotonic() + patience
        with self._changed:
            while not self.ended and (self._look is None or self._look.number <= number):
                if not self._changed.wait(max(0.0, until - time.monotonic())):
                    return None
            look = self._look
        return look if look is not None and look.number > number else None

    def join(self, most: int) -> bool:
        """Somebody watches from now on, unless `most` do already."""
        with self._changed:
            if self.ended or self._watchers >= most:
                return False
            self._watchers += 1
            return True

    def leave(self) -> None:
        with self._changed:
            self._watchers -= 1

    def end(self) -> None:
        """Show the site a last time, and end."""
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def run(self) -> None:
        due = time.monotonic()
        while self._wait(due):
            now = time.monotonic()
            regular = now >= due
            if regular:
                due = max(due + EVERY, now)
            self._take_a_look(now, regular=regular)

    def _wait(self, due: float) -> bool:
        """Until a look is due, or somebody wants one; False at the end."""
        with self._changed:
            while not self.ended and self._wanted <= self._begun:
                left = due - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            return not self.ended

    def _take_a_look(self, now: float, *, regular: bool) -> None:
        with self._changed:
            self._begun += 1
            number, watched = self._begun, self._watchers > 0 or self._wanted >= self._begun
        failure, look = "", None
        try:
            answer = self._asking.ask(StatusRequest(requests=watched))
            assert isinstance(answer, Snapshot)
            look = Look(number, shown.snapshot(answer))
            if regular:
                self._noted(answer, now)
        except Unanswered as error:
            failure = str(error)
        with self._changed:
            if look is not None:
                self._look = look
            else:
                self._failure, self._failed = failure, number
            self._changed.notify_all()
