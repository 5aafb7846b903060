"""The scoreboard: what workers are doing, in shared memory that outlives them.

Made by the master (one per generation), written by that generation's workers, read by any process that holds
its descriptor. Every field has one writer, so there are no locks: a counter is a native 64-bit integer of the
thread or worker that owns it, and a reader adds them up. layout.py says where each field lies; writer, reader
and test are derived from it.

Application code runs in the workers and can write anything anywhere on it. So its size is sealed
(memfd_create(2)), a reader does not believe impossible counts, and nothing trusts the header, which is for
people with a debugger.

    header | slot 0: worker record, thread record 0 .. T-1, tables of kinds, upgraded connections, paths | ...
"""

from __future__ import annotations

import fcntl
import mmap
import os
import struct
from typing import Final

from superwsgi import unpatched
from superwsgi.board.counts import (
    ANSWERS,
    BUCKETS,
    REFUSED,
    Counts,
    InFlight,
    WorkerCounters,
)
from superwsgi.board.kind_table import KINDS_WORDS, KindTableWriter
from superwsgi.board.layout import (
    HEADER,
    ID_BYTES,
    LINE_WORDS,
    METHOD_BYTES,
    PATH_BYTES,
    WORD,
    WORKER,
    offsets,
)
from superwsgi.board.path_table import TABLE_WORDS, PathTableWriter
from superwsgi.board.thread_record import (
    ANSWERS_AT,
    APP_LATENCY_AT,
    APP_TIME_SUM,
    COUNTS,
    IN_REQUEST,
    LATENCY_AT,
    SENT_SUM,
    STATE,
    THREAD_WORDS,
    TIME_SUM,
    InHandWriter,
    ThreadWriter,
    possible,
)
from superwsgi.board.upgraded_table import RECORD_WORDS, UpgradedWriter, read_upgraded

MAGIC: Final = 0x53575347_49424F31  # "SWSGIBO1"
VERSION: Final = 8

BEAT: Final = 1.0
"""Maximum seconds between two heartbeats of a worker that has a request in hand."""

IDLE_BEAT: Final = 10.0
"""The same for one that has none: waking costs some 30 us of CPU."""

_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL


def _whole_lines(words: int) -> int:
    """Room for so many words, behind which nothing else is in the same block of the caches."""
    return -(-words // LINE_WORDS) * LINE_WORDS


_HEADER_AT, _HEADER_SIZE = offsets(HEADER)
_HEADER_WORDS: Final = _whole_lines(_HEADER_SIZE)
_WORKER_AT, _WORKER_WORDS = offsets(WORKER)

_ACCEPTING: Final = _WORKER_AT["accepting"]
_CONNECTIONS: Final = _WORKER_AT["connections"]
_FREE: Final = _WORKER_AT["free"]
_RECORDS: Final = _WORKER_AT["records"]
_COUNTING: Final = _WORKER_AT["counting"]

_IN_HAND: Final = struct.Struct(f"=QQQ{METHOD_BYTES}s{PATH_BYTES}s{ID_BYTES}s")  # of its fields, all before


class Scoreboard:
    """The whole board in one memfd. `create` in the master, `attach` in every process that was sent `fd`."""

    def __init__(self, fd: int, slots: int, threads: int, paths: bool = False, upgraded: int = 0) -> None:
        """`threads` is the number of threads per worker: one more than the requests it runs at once; with
        `paths` it has a table of these, too, and one of `upgraded` connections. Raises ValueError if `fd` is
        not sealed memory of that size: if it shrank, readers got a SIGBUS."""
        self.slot_words = _slot_words(threads, paths, upgraded)
        size = (_HEADER_WORDS + slots * self.slot_words) * WORD
        _require(fd, size)
        self.fd = fd
        self.slots = slots
        self.threads = threads
        self.paths = paths
        self.upgraded = upgraded
        self._map = mmap.mmap(fd, size)
        self.words = memoryview(self._map).cast("Q")
        self.bytes = memoryview(self._map)

    @classmethod
    def create(cls, slots: int, threads: int, paths: bool = False, upgraded: int = 0) -> Scoreboard:
        """A board of `slots` workers with `threads` threads each, all zero. Raises OSError."""
        fd = os.memfd_create("superwsgi-scoreboard", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, (_HEADER_WORDS + slots * _slot_words(threads, paths, upgraded)) * WORD)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, _SEALS)
        board = cls(fd, slots, threads, paths, upgraded)
        for name, value in (("magic", MAGIC), ("version", VERSION), ("slots", slots), ("threads", threads)):
            board.words[_HEADER_AT[name]] = value
        return board

    @classmethod
    def attach(
        cls, fd: int, threads: int, version: int = VERSION, *, paths: bool = False, upgraded: int = 0
    ) -> Scoreboard:
        """The board in `fd`, made by a program of that `version`, whatever workers have written on it. Raises
        ValueError if it has another version, or is not sealed."""
        if version != VERSION:
            raise ValueError(f"scoreboard version {version}, but this program reads {VERSION}")
        slots = (os.fstat(fd).st_size // WORD - _HEADER_WORDS) // _slot_words(threads, paths, upgraded)
        return cls(fd, slots, threads, paths, upgraded)

    def close(self) -> None:
        """Release the memory. Writers made from this board must not be used any more."""
        self.words.release()
        self.bytes.release()
        self._map.close()
        unpatched.close(self.fd)

    def clear(self, slot: int) -> None:
        """Zero a slot before a new worker gets it."""
        at = self._slot_at(slot)
        self._zero(self._thread_at(slot, self.threads), at + self.slot_words)
        self._zero(at, self._thread_at(slot, self._records(slot)))

    def writer(self, slot: int) -> WorkerWriter:
        return WorkerWriter(self, slot)

    def read(self, slot: int, counts: Counts | None = None) -> WorkerCounters:
        """What the worker in `slot` has counted so far, and has in hand. Whoever has just read its `counts`
        gives them: that is half of the work."""
        at, in_flight = self._slot_at(slot), self.in_flight(slot)
        own = {name: possible(self.words[at + offset]) for name, offset in _WORKER_AT.items()}
        return WorkerCounters(
            pid=own["pid"],
            accepting=bool(own["accepting"]),
            connections=own["connections"],
            upgraded=own["upgraded"],
            queued=own["queued"],
            waiting_since=own["waiting_since"] / 1e9,
            gated=own["gated"],
            gated_since=own["gated_since"] / 1e9,
            gated_at=own["gated_at"],
            threads=own["threads"],
            free=own["free"],
            busy=len(in_flight),
            abandoned=own["abandoned"],
            left=own["left"],
            taken=own["taken"],
            sending=own["sending"],
            heartbeat=own["heartbeat"] / 1e9,
            counts=self.counts(slot) if counts is None else counts,
            in_flight=in_flight,
            taken_over=self.taken_over(slot),
        )

    def in_hand(self, slot: int) -> tuple[InFlight, ...]:
        """All that the application of the worker in `slot` works on."""
        return self.in_flight(slot) + self.taken_over(slot)

    def taken_over(self, slot: int) -> tuple[InFlight, ...]:
        """Connections that the application of the worker in `slot` has: see upgraded_table.py."""
        at = (self._kinds_at(slot) + KINDS_WORDS) * WORD
        if not self.words[self._slot_at(slot) + _WORKER_AT["upgraded"]]:
            return ()
        return read_upgraded(self.bytes[at : at + self.upgraded * RECORD_WORDS * WORD], self.threads)

    def in_flight(self, slot: int) -> tuple[InFlight, ...]:
        """What the worker in `slot` has in hand: some 2 us a request."""
        first, behind = self._thread_at(slot, 0), self._thread_at(slot, self._records(slot))
        states = self.words[first + STATE : behind : THREAD_WORDS].tolist()
        busy = [thread for thread, state in enumerate(states) if state == IN_REQUEST]
        return tuple([self._in_hand(thread, first + thread * THREAD_WORDS) for thread in busy])

    def counts(self, slot: int) -> Counts:
        """What the worker in `slot` has counted so far: some 2 us, and 1 us a thread; greenlets count in one
        record."""
        words, at = self.words, self._slot_at(slot)
        first, late = self._thread_at(slot, 0) + COUNTS, self._thread_at(slot, self.threads) + COUNTS
        behind = self._thread_at(slot, min(words[at + _COUNTING], self.threads))

        def total(offset: int) -> int:
            return possible(sum(words[first + offset : behind : THREAD_WORDS]) + words[late + offset])

        def totals(offset: int, count: int) -> tuple[int, ...]:
            return tuple([total(offset + each) for each in range(count)])

        return Counts(
            accepted=possible(words[at + _WORKER_AT["accepted"]]),
            turned_away=possible(words[at + _WORKER_AT["turned_away"]]),
            unlogged=possible(words[at + _WORKER_AT["unlogged"]]),
            quarantined=possible(words[at + _WORKER_AT["quarantined"]]),
            not_upgraded=possible(words[at + _WORKER_AT["not_upgraded"]]),
            shed=possible(words[at + _WORKER_AT["shed"]]),
            upgrades=possible(words[at + _WORKER_AT["upgrades"]]),
            sent=total(SENT_SUM),
            app_time=total(APP_TIME_SUM) / 1e9,
            time=total(TIME_SUM) / 1e9,
            answers=totals(ANSWERS_AT, ANSWERS),
            refused=self.refused(slot),
            app_latency=totals(APP_LATENCY_AT, BUCKETS),
            latency=totals(LATENCY_AT, BUCKETS),
        )

    def kind_table(self, slot: int) -> bytes:
        """How the answers of the worker in `slot` have turned out: see kind_table.py. Some 5 us."""
        at = self._kinds_at(slot) * WORD
        return bytes(self.bytes[at : at + KINDS_WORDS * WORD])

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
        return tuple([possible(self.words[at + each]) for each in range(len(REFUSED))])

    def abandoned(self, slot: int) -> int:
        """How many threads of the worker in `slot` were written off."""
        return possible(self.words[self._slot_at(slot) + _WORKER_AT["abandoned"]])

    def pulse(self, slot: int) -> tuple[float, bool]:
        """(last heartbeat in monotonic seconds, 0 before the first; whether it has a request in hand)."""
        return self.words[self._slot_at(slot) + _WORKER_AT["heartbeat"]] / 1e9, self._busy(slot) > 0

    def peers(self, slot: int) -> list[tuple[int, int]]:
        """(connections, free threads) of every other worker that accepts connections now. It is asked for
        each new connection, so it looks up no more than it has to."""
        words, at, peers = self.words, _HEADER_WORDS, []
        for other in range(self.slots):
            if words[at + _ACCEPTING] and other != slot:
                peers.append((words[at + _CONNECTIONS], words[at + _FREE]))
            at += self.slot_words
        return peers

    def _slot_at(self, slot: int) -> int:
        if not 0 <= slot < self.slots:
            raise IndexError(f"slot {slot} of {self.slots}")
        return _HEADER_WORDS + slot * self.slot_words

    def _kinds_at(self, slot: int) -> int:
        return self._thread_at(slot, self.threads + 1)

    def _thread_at(self, slot: int, thread: int) -> int:
        return self._slot_at(slot) + _WORKER_WORDS + thread * THREAD_WORDS

    def _busy(self, slot: int) -> int:
        first, behind = self._thread_at(slot, 0), self._thread_at(slot, self._records(slot))
        return sum(self.words[first + STATE : behind : THREAD_WORDS])

    def _records(self, slot: int) -> int:
        """How many of its thread records need to be looked at: there may be thousands more."""
        return min(self.words[self._slot_at(slot) + _RECORDS], self.threads)

    def _zero(self, first: int, behind: int) -> None:
        self.bytes[first * WORD : behind * WORD] = bytes((behind - first) * WORD)

    def _in_hand(self, thread: int, at: int) -> InFlight:
        ident, _, started, method, path, request_id = _IN_HAND.unpack_from(self.bytes, at * WORD)
        return InFlight(thread, ident, started / 1e9, _text(method), _text(path), _text(request_id))


def _text(raw: bytes) -> str:
    return raw.split(b"\0", 1)[0].decode("latin-1")


def _slot_words(threads: int, paths: bool, upgraded: int) -> int:
    tables = KINDS_WORDS + upgraded * RECORD_WORDS + TABLE_WORDS * paths
    return _whole_lines(_WORKER_WORDS + (threads + 1) * THREAD_WORDS + tables)


def _require(fd: int, size: int) -> None:
    """Raises ValueError."""
    try:
        sealed = fcntl.fcntl(fd, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:  # not memory
        sealed = False
    if not sealed or os.fstat(fd).st_size != size:
        raise ValueError("not a scoreboard: not sealed memory of its size")


class WorkerWriter:
    """A worker's own record. Each setter has one caller at a time; values are whole numbers."""

    __slots__ = ("_added", "_at", "_board", "_late", "_lock", "_refused", "_words", "slot")

    def __init__(self, board: Scoreboard, slot: int) -> None:
        self.slot = slot
        self._board = board
        self._words = board.words
        self._at = board._slot_at(slot)
        self._late = ThreadWriter(board.words, board.bytes, board._thread_at(slot, board.threads))
        self._lock = unpatched.shared_lock()
        self._refused = dict.fromkeys(REFUSED, 0)
        self._added: dict[str, int] = {}

    def set(self, name: str, value: int) -> None:
        """Set a field of the WORKER table by name."""
        self._words[self._at + _WORKER_AT[name]] = value

    def thread(self, number: int) -> ThreadWriter:
        """The record with this number, in which answers are counted, too."""
        board = self._board
        at = self._use(number)
        self._raise(_COUNTING, number + 1)
        return ThreadWriter(board.words, board.bytes, at)

    def greenlet(self, number: int) -> InHandWriter:
        """The record with this number, of one whose answers are counted in that of another."""
        board = self._board
        return InHandWriter(board.words, board.bytes, self._use(number))

    def _use(self, number: int) -> int:
        self._raise(_RECORDS, number + 1)
        return self._board._thread_at(self.slot, number)

    def _raise(self, field: int, least: int) -> None:
        if self._words[self._at + field] < least:
            self._words[self._at + field] = least

    def upgraded(self) -> list[UpgradedWriter]:
        """The records of connections that the application takes over."""
        board, at = self._board, self._board._kinds_at(self.slot) + KINDS_WORDS
        places = range(at, at + board.upgraded * RECORD_WORDS, RECORD_WORDS)
        return [UpgradedWriter(board.bytes, place * WORD) for place in places]

    def kind_table(self) -> KindTableWriter:
        """The worker's table of kinds, all zero."""
        return KindTableWriter(self._board.bytes, self._board._kinds_at(self.slot) * WORD)

    def path_table(self) -> PathTableWriter | None:
        """The worker's table of paths, all zero; None if it has none."""
        board = self._board
        at = board._slot_at(self.slot) + board.slot_words - TABLE_WORDS
        return PathTableWriter(board.bytes, at * WORD) if board.paths else None

    def peers(self) -> list[tuple[int, int]]:
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
