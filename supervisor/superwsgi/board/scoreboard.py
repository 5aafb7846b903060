"""The scoreboard: what workers are doing, in shared memory that outlives them.

Made by the master (one per generation), written by that generation's workers, read by any process that holds
its descriptor. Every field has one writer, so there are no locks: a counter is a native 64-bit integer of the
thread or worker that owns it, and a reader adds them up. layout.py says where each field lies; writer, reader
and test are derived from it.

Application code runs in the workers and can write anything anywhere on it. So its size is sealed
(memfd_create(2)), a reader does not believe impossible counts, and nothing trusts the header, which is for
people with a debugger.

    header | slot 0: worker record, thread record 0 .. T-1, table of paths if there is one | slot 1: ...
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
import threading
from collections.abc import Iterator
from typing import Final

from superwsgi.board.counts import (
    ANSWERS,
    BUCKETS,
    CLASSES,
    MOST,
    REFUSED,
    Counts,
    InFlight,
    WorkerCounters,
    bucket,
    class_of,
)
from superwsgi.board.layout import HEADER, ID_BYTES, METHOD_BYTES, PATH_BYTES, THREAD, WORD, WORKER
from superwsgi.board.path_table import TABLE_WORDS, PathTableWriter

MAGIC: Final = 0x53575347_49424F31  # "SWSGIBO1"
VERSION: Final = 4

BEAT: Final = 1.0
"""Maximum seconds between two heartbeats of a worker that has a request in hand."""

IDLE_BEAT: Final = 10.0
"""The same for one that has none: waking costs some 30 us of CPU."""

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL

IDLE: Final = 0
IN_REQUEST: Final = 1


def _offsets(table: dict[str, int]) -> tuple[dict[str, int], int]:
    offsets, at = {}, 0
    for name, words in table.items():
        offsets[name] = at
        at += words
    return offsets, at


_HEADER_AT, _HEADER_WORDS = _offsets(HEADER)
_WORKER_AT, _WORKER_WORDS = _offsets(WORKER)
_THREAD_AT, _THREAD_WORDS = _offsets(THREAD)

# What a thread writes at the beginning and at the end of a request, each in one call.
_SUMS: Final = struct.Struct("=QQQ")
_BEGIN: Final = struct.Struct(f"=QQ{METHOD_BYTES}s{PATH_BYTES}s{ID_BYTES}s")

_STATE = _THREAD_AT["state"]

# Within a thread's counts.
_COUNTS: Final = _THREAD_AT["sent"]
_COUNTED: Final = _THREAD_WORDS - _COUNTS
_SENT: Final = 0
_APP_TIME: Final = 1
_TIME: Final = 2
_ANSWERS: Final = 3  # as many counts come before them: the sums
_APP_LATENCY: Final = _ANSWERS + ANSWERS
_LATENCY: Final = _APP_LATENCY + BUCKETS
_CLASSES: Final = len(CLASSES)
_TOOK: Final = _LATENCY - _APP_LATENCY  # within the latencies
_IN_HAND: Final = struct.Struct(f"=QQQ{METHOD_BYTES}s{PATH_BYTES}s{ID_BYTES}s")  # of its fields, all before
_EACH: Final = struct.Struct(f"={_COUNTED}Q")


class Scoreboard:
    """The whole board in one memfd. `create` in the master, `attach` in every process that was sent `fd`."""

    def __init__(self, fd: int, slots: int, threads: int, paths: bool = False) -> None:
        """`threads` is the number of threads per worker: one more than the requests it runs at once; with
        `paths` it has a table of these, too. Raises ValueError if `fd` is not sealed memory of that size: if
        it shrank, readers got a SIGBUS."""
        _require(fd, _size(slots, threads, paths))
        self.fd = fd
        self.slots = slots
        self.threads = threads
        self.slot_words = _slot_words(threads, paths)
        self.paths = paths
        self._map = mmap.mmap(fd, _size(slots, threads, paths))
        self.words = memoryview(self._map).cast("Q")
        self.bytes = memoryview(self._map)

    @classmethod
    def create(cls, slots: int, threads: int, paths: bool = False) -> Scoreboard:
        """A board of `slots` workers with `threads` threads each, all zero. Raises OSError."""
        fd = os.memfd_create("superwsgi-scoreboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _size(slots, threads, paths))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        board = cls(fd, slots, threads, paths)
        for name, value in (("magic", MAGIC), ("version", VERSION), ("slots", slots), ("threads", threads)):
            board.words[_HEADER_AT[name]] = value
        return board

    @classmethod
    def attach(cls, fd: int, threads: int, version: int = VERSION, *, paths: bool = False) -> Scoreboard:
        """The board in `fd`, made by a program of that `version`, whatever workers have written on it. Raises
        ValueError if it has another version, or is not sealed."""
        if version != VERSION:
            raise ValueError(f"scoreboard version {version}, but this program reads {VERSION}")
        slots = (os.fstat(fd).st_size // WORD - _HEADER_WORDS) // _slot_words(threads, paths)
        return cls(fd, slots, threads, paths)

    def close(self) -> None:
        """Release the memory. Writers made from this board must not be used any more."""
        self.words.release()
        self.bytes.release()
        self._map.close()
        os.close(self.fd)

    def clear(self, slot: int) -> None:
        """Zero a slot before a new worker gets it."""
        start = self._slot_at(slot) * WORD
        self.bytes[start : start + self.slot_words * WORD] = bytes(self.slot_words * WORD)

    def writer(self, slot: int) -> WorkerWriter:
        return WorkerWriter(self, slot)

    def read(self, slot: int, counts: Counts | None = None) -> WorkerCounters:
        """What the worker in `slot` has counted so far, and has in hand. Whoever has just read its `counts`
        gives them: that is half of the work."""
        at, in_flight = self._slot_at(slot), self.in_flight(slot)
        own = {name: _possible(self.words[at + offset]) for name, offset in _WORKER_AT.items()}
        return WorkerCounters(
            pid=own["pid"],
            accepting=bool(own["accepting"]),
            connections=own["connections"],
            queued=own["queued"],
            waiting_since=own["waiting_since"] / 1e9,
            threads=own["threads"],
            free=own["free"],
            busy=len(in_flight),
            abandoned=own["abandoned"],
            taken=own["taken"],
            sending=own["sending"],
            heartbeat=own["heartbeat"] / 1e9,
            counts=self.counts(slot) if counts is None else counts,
            in_flight=in_flight,
        )

    def in_flight(self, slot: int) -> tuple[InFlight, ...]:
        """What the worker in `slot` has in hand: some 2 us a request."""
        first = self._thread_at(slot, 0)
        states = self.words[first + _STATE : first + self.threads * _THREAD_WORDS : _THREAD_WORDS].tolist()
        busy = [thread for thread, state in enumerate(states) if state == IN_REQUEST]
        return tuple([self._in_hand(thread, first + thread * _THREAD_WORDS) for thread in busy])

    def counts(self, slot: int) -> Counts:
        """What the worker in `slot` has counted so far: some 2 us, and 1 us a thread."""
        words, at = self.words, self._slot_at(slot)
        first, behind = at + _WORKER_WORDS + _COUNTS, at + _slot_words(self.threads)

        def total(offset: int) -> int:
            return _possible(sum(words[first + offset : behind : _THREAD_WORDS]))

        def totals(offset: int, count: int) -> tuple[int, ...]:
            return tuple([total(offset + each) for each in range(count)])

        return Counts(
            accepted=_possible(words[at + _WORKER_AT["accepted"]]),
            turned_away=_possible(words[at + _WORKER_AT["turned_away"]]),
            unlogged=_possible(words[at + _WORKER_AT["unlogged"]]),
            sent=total(_SENT),
            app_time=total(_APP_TIME) / 1e9,
            time=total(_TIME) / 1e9,
            answers=totals(_ANSWERS, ANSWERS),
            refused=self.refused(slot),
            app_latency=totals(_APP_LATENCY, BUCKETS),
            latency=totals(_LATENCY, BUCKETS),
        )

    def path_table(self, slot: int) -> bytes:
        """What the worker in `slot` has answered by path: see path_table.py. Empty without such tables."""
        behind = (self._slot_at(slot) + self.slot_words) * WORD
        return bytes(self.bytes[behind - TABLE_WORDS * WORD : behind]) if self.paths else b""

    def is_short(self, slot: int) -> bool:
        """Whether requests of the worker in `slot` wait for a thread, or the next one would. Cheap, however
        many threads it has."""
        at = self._slot_at(slot)
        return bool(self.words[at + _WORKER_AT["queued"]]) or not self.words[at + _WORKER_AT["free"]]

    def refused(self, slot: int) -> tuple[int, ...]:
        """What the worker in `slot` has refused, in the order of REFUSED."""
        at = self._slot_at(slot) + _WORKER_AT["refused"]
        return tuple([_possible(self.words[at + each]) for each in range(len(REFUSED))])

    def abandoned(self, slot: int) -> int:
        """How many threads of the worker in `slot` were written off."""
        return _possible(self.words[self._slot_at(slot) + _WORKER_AT["abandoned"]])

    def pulse(self, slot: int) -> tuple[float, bool]:
        """(last heartbeat in monotonic seconds, 0 before the first; whether it has a request in hand)."""
        return self.words[self._slot_at(slot) + _WORKER_AT["heartbeat"]] / 1e9, self._busy(slot) > 0

    def peers(self, slot: int) -> Iterator[tuple[int, int]]:
        """(connections, free threads) of every other worker that accepts connections now."""
        words = self.words
        for other in range(self.slots):
            at = self._slot_at(other)
            if other != slot and words[at + _WORKER_AT["accepting"]]:
                yield words[at + _WORKER_AT["connections"]], words[at + _WORKER_AT["free"]]

    def _slot_at(self, slot: int) -> int:
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} of {self.slots}")
        return _HEADER_WORDS + slot * self.slot_words

    def _thread_at(self, slot: int, thread: int) -> int:
        return self._slot_at(slot) + _WORKER_WORDS + thread * _THREAD_WORDS

    def _busy(self, slot: int) -> int:
        first = self._thread_at(slot, 0) + _STATE
        return sum(self.words[first : first + self.threads * _THREAD_WORDS : _THREAD_WORDS])

    def _in_hand(self, thread: int, at: int) -> InFlight:
        ident, _, started, method, path, request_id = _IN_HAND.unpack_from(self.bytes, at * WORD)
        return InFlight(thread, ident, started / 1e9, _text(method), _text(path), _text(request_id))


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("latin-1")


def _size(slots: int, threads: int, paths: bool) -> int:
    """Bytes."""
    return (_HEADER_WORDS + slots * _slot_words(threads, paths)) * WORD


def _slot_words(threads: int, paths: bool = False) -> int:
    return _WORKER_WORDS + (threads + 1) * _THREAD_WORDS + TABLE_WORDS * paths


def _require(fd: int, size: int) -> None:
    """Raises ValueError."""
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:  # not memory
        sealed = False
    if not sealed or os.fstat(fd).st_size != size:
        raise ValueError("not a scoreboard: not sealed memory of its size")


def _possible(count: int) -> int:
    """A sum of counters, but no more than signed 64 bits hold."""
    return count if count < MOST else MOST


class WorkerWriter:
    """A worker's own record. Each setter has one caller at a time; values are whole numbers."""

    __slots__ = ("_added", "_at", "_board", "_late", "_lock", "_refused", "_words", "slot")

    def __init__(self, board: Scoreboard, slot: int) -> None:
        self.slot = slot
        self._board = board
        self._words = board.words
        self._at = board._slot_at(slot)
        self._late = ThreadWriter(board, board._thread_at(slot, board.threads))
        self._lock = threading.Lock()
        self._refused = dict.fromkeys(REFUSED, 0)
        self._added: dict[str, int] = {}

    def set(self, name: str, value: int) -> None:
        """Set a field of the WORKER table by name."""
        self._words[self._at + _WORKER_AT[name]] = value

    def thread(self, number: int) -> ThreadWriter:
        return ThreadWriter(self._board, self._board._thread_at(self.slot, number))

    def path_table(self) -> PathTableWriter | None:
        """The worker's table of paths, all zero; None if it has none."""
        board = self._board
        at = board._slot_at(self.slot) + board.slot_words - TABLE_WORDS
        return PathTableWriter(board.bytes, at * WORD) if board.paths else None

    def peers(self) -> Iterator[tuple[int, int]]:
        """(connections, free threads) of every other worker that accepts connections now."""
        return self._board.peers(self.slot)

    # Answers that no thread waits for. Any thread.

    def count(self, status: int, method: int, sent: int, app: int, took: int) -> None:
        """As ThreadWriter.count."""
        with self._lock:
            self._late.count(status, method, sent, app, took)
            self._late.show()

    def refuse(self, status: int, method: int, sent: int, took: int) -> None:
        """The server itself has answered; `took` in ns."""
        with self._lock:
            known = status if status in self._refused else _first_alike(status)
            self._refused[known] += 1
            self._words[self._at + _WORKER_AT["refused"] + REFUSED.index(known)] = self._refused[known]
            self._late.count(status, method, sent, -1, took)
            self._late.show()

    def add(self, name: str, difference: int) -> None:
        """Change a field of the WORKER table, which only this method does."""
        with self._lock:
            self._added[name] = self._added.get(name, 0) + difference
            self.set(name, self._added[name])


def _first_alike(status: int) -> int:
    """The first of REFUSED that has the class of a status."""
    return next((known for known in REFUSED if known // 100 == status // 100), REFUSED[0])


class ThreadWriter:
    """A thread's own record, on the hot path. What is counted is on the board only once it is shown: after a
    batch of requests, as a write costs 50 ns. Counts that are there already are read only once, at the start,
    as others can write to the memory."""

    __slots__ = (
        "_answered", "_app_time", "_at", "_begin_at", "_bytes", "_changed", "_counts", "_sent", "_state_at",
        "_time", "_words", "began",
    )  # fmt: skip

    def __init__(self, board: Scoreboard, at: int) -> None:
        self._words = board.words
        self._bytes = board.bytes
        self._state_at = at + _STATE
        self._begin_at = self._state_at * WORD
        self._at = at + _COUNTS
        self._counts = [_possible(self._words[self._at + each]) for each in range(_COUNTED)]
        self._sent, self._app_time, self._time = self._counts[:_ANSWERS]
        self._answered = 0  # a bit for each count of answers that is not shown
        self._changed = 0  # the same of the latencies: each fits into a word of the processor
        self.began = 0  # the latest request

    def run_by(self, ident: int) -> None:
        """`ident` is that of the thread whose record this is."""
        self._words[self._state_at + _THREAD_AT["ident"] - _STATE] = ident

    def begin(self, now: int, method: bytes, path: bytes, request_id: bytes) -> None:
        """A request goes to the application; `now` in monotonic ns."""
        self.began = now
        _BEGIN.pack_into(self._bytes, self._begin_at, IN_REQUEST, now, method, path, request_id)

    def end(self) -> None:
        """The application is done with it."""
        self._words[self._state_at] = IDLE

    def count(self, status: int, method: int, sent: int, app: int, took: int) -> None:
        """A request has been answered with `sent` bytes of body, after `app` ns in the application and `took`
        ns since it had arrived; `app` is -1 for one that the application has not seen. `method` is its number
        in counts.METHODS."""
        counts = self._counts
        answer = method * _CLASSES + class_of(status)
        latency = _TOOK + bucket(took)
        self._sent += sent
        self._time += took
        counts[_ANSWERS + answer] += 1
        counts[_APP_LATENCY + latency] += 1
        changed = 1 << latency
        if app >= 0:
            app_latency = bucket(app)
            self._app_time += app
            counts[_APP_LATENCY + app_latency] += 1
            changed |= 1 << app_latency
        self._answered |= 1 << answer
        self._changed |= changed

    def show(self) -> None:
        """Write what has been counted since the last time."""
        answered, changed = self._answered, self._changed
        if not answered:
            return
        self._answered = self._changed = 0
        _SUMS.pack_into(self._bytes, self._at * WORD, self._sent, self._app_time, self._time)
        self._write(_ANSWERS, answered)
        self._write(_APP_LATENCY, changed)

    def _write(self, first: int, changed: int) -> None:
        """Of the counts from the `first` on, those that have `changed`: a bit for each. The usual ones come
        first, so that there is nothing left after a few."""
        words, counts, at = self._words, self._counts, self._at
        while changed:
            if changed & 1:
                words[at + first] = counts[first]
            changed >>= 1
            first += 1

    def show_all(self) -> None:
        """Write all of it: another thread may have shown it meanwhile."""
        self._answered = self._changed = 0
        _EACH.pack_into(
            self._bytes, self._at * WORD, self._sent, self._app_time, self._time, *self._counts[_ANSWERS:]
        )
