"""The scoreboard: what workers are doing, in shared memory that outlives them.

Made by the master (one per generation), written by that generation's workers, read by any process that holds
its descriptor. Every field has one writer, so there are no locks: a counter is a native 64-bit integer of the
thread or worker that owns it, and a reader adds them up. One table per record says where each field lies;
writer, reader and test are derived from it.

Application code runs in the workers and can write anything anywhere on it. So its size is sealed
(memfd_create(2)), a reader does not believe impossible counts, and nothing trusts the header, which is for
people with a debugger.

    header | slot 0: worker record, thread record 0 .. T-1 | slot 1: ...
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

MAGIC: Final = 0x53575347_49424F31  # "SWSGIBO1"
VERSION: Final = 2
WORD: Final = 8

METHOD_BYTES: Final = 16
PATH_BYTES: Final = 112
BUCKETS: Final = 28
"""Latency histogram: bucket b counts answers that took less than 2**b microseconds, the last one the rest."""

BEAT: Final = 1.0
"""Maximum seconds between two heartbeats of a worker that has a request in hand."""

IDLE_BEAT: Final = 10.0
"""The same for one that has none: waking costs some 30 us of CPU."""

# Field tables: name -> number of 64-bit words, in order.
HEADER: Final = {"magic": 1, "version": 1, "slots": 1, "threads": 1}
WORKER: Final = {
    "pid": 1,
    "accepting": 1,  # 1 while it takes new connections
    "connections": 1,  # open now
    "accepted": 1,  # since start
    "queued": 1,  # complete requests that wait for a thread now
    "waiting_since": 1,  # monotonic ns, when the first of them began to wait; 0 if there is none
    "threads": 1,  # requests that its threads could run at once now
    "free": 1,  # further requests that it would run at once, with more threads if need be
    "refused": 1,  # answered by the server itself: 4xx, 5xx before the application was called
    "heartbeat": 1,  # monotonic ns, last turn of the loop
}
THREAD: Final = {
    "state": 1,
    "started": 1,  # monotonic ns, start of the request in hand
    "method": METHOD_BYTES // WORD,
    "path": PATH_BYTES // WORD,
    "requests": 1,
    "failures": 1,  # answers with a 5xx status
    "sent": 1,  # bytes of response bodies
    "latency_sum": 1,  # ns
    "latency": BUCKETS,
}

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL
_MOST: Final = (1 << 63) - 1

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
_BEGIN: Final = struct.Struct(f"=QQ{METHOD_BYTES}s{PATH_BYTES}s")
_END: Final = struct.Struct("=QQQQ")

_STATE = _THREAD_AT["state"]
_STARTED = _THREAD_AT["started"]
_REQUESTS = _THREAD_AT["requests"]
_FAILURES = _THREAD_AT["failures"]
_SENT = _THREAD_AT["sent"]
_LATENCY_SUM = _THREAD_AT["latency_sum"]
_LATENCY = _THREAD_AT["latency"]


@dataclass(frozen=True, slots=True)
class InFlight:
    """A request that a thread had in hand: `started` is monotonic seconds."""

    thread: int
    started: float
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class WorkerCounters:
    """One worker's fields and the sums over its threads; `latency` has BUCKETS counts, times in seconds."""

    pid: int
    accepting: bool
    connections: int
    accepted: int
    queued: int
    waiting_since: float
    threads: int
    free: int
    busy: int
    refused: int
    heartbeat: float
    requests: int
    failures: int
    sent: int
    latency_sum: float
    latency: tuple[int, ...]
    in_flight: tuple[InFlight, ...]


class Scoreboard:
    """The whole board in one memfd. `create` in the master, `attach` in every process that was sent `fd`."""

    def __init__(self, fd: int, slots: int, threads: int) -> None:
        """`threads` is the number of thread records per worker: one more than the requests it runs at once.
        Raises ValueError if `fd` is not sealed memory of that size: if it shrank, readers got a SIGBUS."""
        _require(fd, _size(slots, threads))
        self.fd = fd
        self.slots = slots
        self.threads = threads
        self.slot_words = _WORKER_WORDS + threads * _THREAD_WORDS
        self._map = mmap.mmap(fd, _size(slots, threads))
        self.words = memoryview(self._map).cast("Q")
        self.bytes = memoryview(self._map)

    @classmethod
    def create(cls, slots: int, threads: int) -> Scoreboard:
        """A board of `slots` workers with `threads` threads each, all zero. Raises OSError."""
        fd = os.memfd_create("superwsgi-scoreboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _size(slots, threads))
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        board = cls(fd, slots, threads)
        for name, value in (("magic", MAGIC), ("version", VERSION), ("slots", slots), ("threads", threads)):
            board.words[_HEADER_AT[name]] = value
        return board

    @classmethod
    def attach(cls, fd: int, threads: int, version: int = VERSION) -> Scoreboard:
        """The board in `fd`, made by a program of that `version`, whatever workers have written on it. Raises
        ValueError if it has another version, or is not sealed."""
        if version != VERSION:
            raise ValueError(f"scoreboard version {version}, but this program reads {VERSION}")
        slots = (os.fstat(fd).st_size // WORD - _HEADER_WORDS) // (_WORKER_WORDS + threads * _THREAD_WORDS)
        return cls(fd, slots, threads)

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

    def read(self, slot: int) -> WorkerCounters:
        """What the worker in `slot` has counted so far, and has in hand."""
        words, at = self.words, self._slot_at(slot)
        own = {name: _possible(words[at + offset]) for name, offset in _WORKER_AT.items()}
        threads = [self._thread_at(slot, n) for n in range(self.threads)]
        return WorkerCounters(
            pid=own["pid"],
            accepting=bool(own["accepting"]),
            connections=own["connections"],
            accepted=own["accepted"],
            queued=own["queued"],
            waiting_since=own["waiting_since"] / 1e9,
            threads=own["threads"],
            free=own["free"],
            busy=_possible(self._busy(slot)),
            refused=own["refused"],
            heartbeat=own["heartbeat"] / 1e9,
            requests=_possible(sum(words[t + _REQUESTS] for t in threads)),
            failures=_possible(sum(words[t + _FAILURES] for t in threads)),
            sent=_possible(sum(words[t + _SENT] for t in threads)),
            latency_sum=sum(words[t + _LATENCY_SUM] for t in threads) / 1e9,
            latency=tuple(_possible(sum(words[t + _LATENCY + b] for t in threads)) for b in range(BUCKETS)),
            in_flight=tuple(self._in_flight(slot)),
        )

    def is_short(self, slot: int) -> bool:
        """Whether requests of the worker in `slot` wait for a thread, or the next one would. Cheap, however
        many threads it has."""
        at = self._slot_at(slot)
        return bool(self.words[at + _WORKER_AT["queued"]]) or not self.words[at + _WORKER_AT["free"]]

    def requests(self, slot: int) -> int:
        """How many requests the worker in `slot` has answered."""
        first = self._thread_at(slot, 0) + _REQUESTS
        return sum(self.words[first : first + self.threads * _THREAD_WORDS : _THREAD_WORDS])

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

    def _in_flight(self, slot: int) -> Iterator[InFlight]:
        for thread in range(self.threads):
            at = self._thread_at(slot, thread)
            if self.words[at + _STATE] == IN_REQUEST:
                yield InFlight(
                    thread=thread,
                    started=self.words[at + _STARTED] / 1e9,
                    method=self._text(at + _THREAD_AT["method"], METHOD_BYTES),
                    path=self._text(at + _THREAD_AT["path"], PATH_BYTES),
                )

    def _text(self, at: int, size: int) -> str:
        raw = bytes(self.bytes[at * WORD : at * WORD + size])
        return raw.split(b"\0", 1)[0].decode("latin-1")


def _size(slots: int, threads: int) -> int:
    """Bytes."""
    return (_HEADER_WORDS + slots * (_WORKER_WORDS + threads * _THREAD_WORDS)) * WORD


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
    return count if count < _MOST else _MOST


class WorkerWriter:
    """A worker's own record. Each setter has one caller at a time; values are whole numbers."""

    __slots__ = ("_at", "_board", "_words", "slot")

    def __init__(self, board: Scoreboard, slot: int) -> None:
        self.slot = slot
        self._board = board
        self._words = board.words
        self._at = board._slot_at(slot)

    def set(self, name: str, value: int) -> None:
        """Set a field of the WORKER table by name."""
        self._words[self._at + _WORKER_AT[name]] = value

    def thread(self, number: int) -> ThreadWriter:
        return ThreadWriter(self._board, self._board._thread_at(self.slot, number))

    def peers(self) -> Iterator[tuple[int, int]]:
        """(connections, free threads) of every other worker that accepts connections now."""
        return self._board.peers(self.slot)


class ThreadWriter:
    """A thread's own record, on the hot path: two calls per request. Existing counts are read only once, at
    the start, as others can write to the memory."""

    __slots__ = (
        "_begin_at", "_bytes", "_end_at", "_failures", "_latency", "_latency_at", "_latency_sum", "_requests",
        "_sent", "_state_at", "_words", "began",
    )  # fmt: skip

    def __init__(self, board: Scoreboard, at: int) -> None:
        self._words = board.words
        self._bytes = board.bytes
        self._begin_at = at * WORD
        self._state_at = at + _STATE
        self._end_at = (at + _REQUESTS) * WORD
        self._latency_at = at + _LATENCY
        counted = map(_possible, _END.unpack_from(self._bytes, self._end_at))
        self._requests, self._failures, self._sent, self._latency_sum = counted
        self._latency = [_possible(self._words[self._latency_at + bucket]) for bucket in range(BUCKETS)]
        self.began = 0  # the latest request

    def begin(self, now: int, method: bytes, path: bytes) -> None:
        """A request goes to the application; `now` in monotonic ns."""
        self.began = now
        _BEGIN.pack_into(self._bytes, self._begin_at, IN_REQUEST, now, method, path)

    def end(self, now: int, status: int, sent: int) -> None:
        """The application is done with it; `now` in monotonic ns, `sent` in bytes of body."""
        took = now - self.began
        self._requests += 1
        self._sent += sent
        self._latency_sum += took
        if status >= 500:
            self._failures += 1
        words = self._words
        words[self._state_at] = IDLE
        _END.pack_into(
            self._bytes, self._end_at, self._requests, self._failures, self._sent, self._latency_sum
        )
        bucket = (took // 1000).bit_length()
        if bucket >= BUCKETS:
            bucket = BUCKETS - 1
        count = self._latency[bucket] + 1
        self._latency[bucket] = words[self._latency_at + bucket] = count
