"""A thread's own record on the scoreboard (scoreboard.py): its request in hand, and what it has counted."""

from __future__ import annotations

import struct
from typing import Final

from superwsgi import unpatched
from superwsgi.board.counts import ANSWERS, BOUNDS_NS, BUCKETS, CLASSES, MOST, bucket, class_of
from superwsgi.board.layout import ID_BYTES, METHOD_BYTES, PATH_BYTES, THREAD, WORD, offsets
from superwsgi.core.chosen import COUNT, SHOW_REQUEST

IDLE: Final = 0
IN_REQUEST: Final = 1

THREAD_AT, THREAD_WORDS = offsets(THREAD)
STATE: Final = THREAD_AT["state"]
COUNTS: Final = THREAD_AT["sent"]

# Within a thread's counts.
SENT_SUM: Final = 0
APP_TIME_SUM: Final = 1
TIME_SUM: Final = 2
ANSWERS_AT: Final = 3  # as many counts come before them: the sums
APP_LATENCY_AT: Final = ANSWERS_AT + ANSWERS
LATENCY_AT: Final = APP_LATENCY_AT + BUCKETS
_COUNTED: Final = THREAD_WORDS - COUNTS

_BOUNDS: Final = struct.pack(f"={len(BOUNDS_NS)}Q", *BOUNDS_NS)

# What a thread writes at the beginning of a request, in one call.
_BEGIN: Final = struct.Struct(f"=QQ{METHOD_BYTES}s{PATH_BYTES}s{ID_BYTES}s")


def possible(count: int) -> int:
    """A sum of counters, but no more than signed 64 bits hold."""
    return count if count < MOST else MOST


class InHandWriter:
    """What a thread or greenlet says in its record of the request that it has in hand, on the hot path."""

    __slots__ = ("_begin_at", "_bytes", "_state_at", "_words", "began")

    def __init__(self, words: memoryview, raw: memoryview, at: int) -> None:
        """`raw` are the bytes of `words`; it begins at word `at`."""
        self._words = words
        self._bytes = raw
        self._state_at = at + STATE
        self._begin_at = self._state_at * WORD
        self.began = 0  # the latest request

    def run_by(self, ident: int) -> None:
        """`ident` is that of the thread whose record this is."""
        self._words[self._state_at + THREAD_AT["ident"] - STATE] = ident

    def begin(self, now: int, method: str, path: bytes, request_id: str) -> None:
        """A request goes to the application; `now` in monotonic ns."""
        self.began = now
        raw, at = self._bytes, self._begin_at
        if SHOW_REQUEST is not None and SHOW_REQUEST(
            raw, at, IN_REQUEST, now, method, METHOD_BYTES, path, PATH_BYTES, request_id, ID_BYTES
        ):
            return
        _BEGIN.pack_into(raw, at, IN_REQUEST, now, method.encode(), path, request_id.encode())

    def end(self) -> None:
        """The application is done with it."""
        self._words[self._state_at] = IDLE


class ThreadWriter(InHandWriter):
    """All of a thread's own record, also on the hot path. What is counted is on the board only once it is
    shown: after a batch of requests. Counts that are there already are read only once, at the start, as
    others can write to the memory. Another thread calls `show_for_it` alone."""

    __slots__ = ("_at", "_changed", "_counted", "_counts", "_end", "_shown")

    def __init__(self, words: memoryview, raw: memoryview, at: int) -> None:
        super().__init__(words, raw, at)
        self._at = at + COUNTS
        self._end = self._at + _COUNTED
        self._counted = bytearray(_COUNTED * WORD)  # as on the board, but nobody else's
        self._counts = memoryview(self._counted).cast("Q")
        for each in range(_COUNTED):
            self._counts[each] = possible(words[self._at + each])
        self._changed = False  # since it was shown
        self._shown = unpatched.Lock()  # by another thread, or all of it

    def count(self, status: int, method: int, sent: int, app: int, took: int) -> None:
        """A request has been answered with `sent` bytes of body, after `app` ns in the application and `took`
        ns since it had arrived; `app` is -1 for one that the application has not seen. `method` is its number
        in counts.METHODS."""
        if COUNT is not None:
            COUNT(self._counted, _BOUNDS, status, method, sent, app, took)
        else:
            self._count(status, method, sent, app, took)
        self._changed = True

    def _count(self, status: int, method: int, sent: int, app: int, took: int) -> None:
        counts = self._counts
        counts[SENT_SUM] += sent
        counts[TIME_SUM] += took
        counts[ANSWERS_AT + method * len(CLASSES) + class_of(status)] += 1
        counts[LATENCY_AT + bucket(took)] += 1
        if app >= 0:
            counts[APP_TIME_SUM] += app
            counts[APP_LATENCY_AT + bucket(app)] += 1

    def show(self) -> None:
        """Write what has been counted since the last time."""
        if self._changed:
            self._write()

    def show_for_it(self) -> None:
        """`show` by another thread, while this one may come back and count: then it is to `show_all`."""
        with self._shown:
            self.show()

    def show_all(self) -> None:
        """Write all of it: another thread may have shown it meanwhile, or be about to, as it was before."""
        with self._shown:
            self._write()

    def _write(self) -> None:
        self._changed = False
        self._words[self._at : self._end] = self._counts
