"""The last hour, for the charts: a sample each second for five minutes, before that one for each ten seconds.

It is kept in memory that the master holds, so it outlives this process, reloads and upgrades. There are two
areas, written in turn, each with the whole history and its checksum: whoever is killed while it writes one
leaves the other as it was, which lacks nothing but the sample that was being taken. What another version has
written, or anything else, is no history: it begins anew.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
import time
import zlib
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from superwsgi.admin.asking import Unanswered
from superwsgi.board.counts import quantile
from superwsgi.control import Snapshot
from superwsgi.snapshot import TotalsStatus, WorkerStatus

VERSION: Final = 1

FINE: Final = 300
"""Samples of a second that are kept."""

EVERY: Final = 10
"""Seconds of a sample after that."""

COARSE: Final = 360
"""How many of those: an hour."""

WORKERS: Final = 64
"""Whose memory and CPU are kept, the first by number."""

MARKS: Final = 300

_HEARD_OF: Final = 60.0
"""Seconds within which something that has happened is heard of."""

_AREAS: Final = 2
_HEAD: Final = struct.Struct("=8sQQI")
"""Magic, the number of the write, bytes, checksum."""

_MAGIC: Final = b"SWSGIHI%d" % VERSION

COLUMNS: Final = ["t", "rate", "p50", "p95", "p99", "queued", "busy", "threads", "errors", "generation"]
"""Of a sample: Unix time in seconds at its end, requests a second, quantiles of their seconds, None where
there were none; requests that wait and threads that are busy, the most at any look; threads; answers with a
5xx status a second; the number of the generation, None before the first one serves."""

_MAY_LACK: Final = frozenset({"p50", "p95", "p99", "generation"})

Row = Annotated[list[Any], Meta(min_length=len(COLUMNS), max_length=len(COLUMNS))]


class ChartMark(Struct, frozen=True):
    """Something that has happened at `t`, Unix time in seconds: `text` says what, `incident` is its number,
    0 if it is none."""

    t: float
    kind: str
    text: str
    incident: int = 0


class WorkerHistory(Struct):
    """What a worker has used, by the times of samples: `rss` in bytes, `cpu` in cores."""

    t: list[float] = []
    rss: list[int | None] = []
    cpu: list[float | None] = []

    def add(self, when: float, rss: int | None, cpu: float | None) -> None:
        self.t.append(when)
        self.rss.append(rss)
        self.cpu.append(None if cpu is None else round(cpu, 3))

    def after(self, when: float) -> WorkerHistory:
        new = bisect_right(self.t, when)
        return WorkerHistory(self.t[new:], self.rss[new:], self.cpu[new:])

    def drop_before(self, when: float) -> None:
        old = bisect_left(self.t, when)
        del self.t[:old], self.rss[:old], self.cpu[:old]


class Known(Struct):
    """What was counted at a look, at `when`, monotonic seconds, so that the next sample says what is new."""

    when: float
    requests: int
    failures: int
    latency: list[int]


class LastLook(Struct):
    """What was known at the last look: how many incidents were `told` of, the number of the `newest`, the
    generation, the numbers of workers that are being recycled, and `when` it was, Unix time in seconds."""

    told: int = 0
    newest: int = 0
    generation: int | None = None
    recycled: set[int] = set()
    when: float = 0.0


class Kept(Struct):
    """The whole history."""

    fine: list[Row] = []
    coarse: list[Row] = []
    workers: dict[str, WorkerHistory] = {}
    marks: list[ChartMark] = []
    last: Known | None = None  # at the last sample
    begun: Known | None = None  # where the coarse sample began that is being taken
    seen: LastLook = msgspec.field(default_factory=LastLook)


class Areas:
    """The two areas in a memfd. Raises ValueError if that is not as large as it says."""

    def __init__(self, fd: int) -> None:
        self._map = mmap.mmap(fd, os.fstat(fd).st_size)
        self._size = len(self._map) // _AREAS
        self._written = 0

    def read(self) -> bytes | None:
        """What was written last and is whole."""
        found = [each for each in map(self._area, range(_AREAS)) if each is not None]
        if not found:
            return None
        self._written, content = max(found)
        return content

    def write(self, content: bytes) -> bool:
        """Replace what was written before the last time. Whether there was room."""
        if _HEAD.size + len(content) > self._size:
            return False
        number = self._written + 1
        at = number % _AREAS * self._size
        head = _HEAD.pack(_MAGIC, number, len(content), _checksum(number, content))
        self._map[at : at + _HEAD.size + len(content)] = head + content
        self._written = number
        return True

    def _area(self, index: int) -> tuple[int, bytes] | None:
        at = index * self._size
        magic, number, length, checksum = _HEAD.unpack_from(self._map, at)
        if magic != _MAGIC or length > self._size - _HEAD.size:
            return None
        content = self._map[at + _HEAD.size : at + _HEAD.size + length]
        return (number, content) if _checksum(number, content) == checksum else None


def _checksum(number: int, content: bytes) -> int:
    """Of the number, too: a new one before old content is no new content."""
    return zlib.crc32(content, number & 0xFFFFFFFF)


class History:
    """`note` is called by one thread, `shown` by any."""

    def __init__(
        self,
        memory: Areas,
        marks: Callable[[Snapshot, LastLook, float], Iterable[ChartMark]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`marks` finds what has happened since the last look, and notes in LastLook what it has seen;
        `clock` says the Unix time in seconds."""
        self._memory = memory
        self._marks = marks
        self._clock = clock
        self._lock = threading.Lock()
        self._kept = _decoded(memory.read()) or Kept()

    def note(self, snapshot: Snapshot, now: float) -> None:
        """Take a sample, at `now`, monotonic seconds."""
        when = round(self._clock(), 2)
        found = self._found(snapshot, when)
        with self._lock:
            _take(self._kept, snapshot, now, when)
            self._kept.marks = _bounded([*self._kept.marks, *found])
            content = msgspec.msgpack.encode(self._kept)
        self._memory.write(content)

    def _found(self, snapshot: Snapshot, when: float) -> list[ChartMark]:
        """Where the master does not answer, the next look finds it."""
        try:
            return list(self._marks(snapshot, self._kept.seen, when))
        except Unanswered:
            return []

    def shown(self, since: float = 0.0) -> bytes:
        """As JSON: what came after `since`, Unix time in seconds; of marks also those shortly before, since
        what has happened is heard of a little later."""
        with self._lock:
            kept = self._kept
            begins = kept.fine[0][0] if kept.fine else 0.0
            samples = [*(row for row in kept.coarse if row[0] < begins), *kept.fine]
            return msgspec.json.encode(
                {
                    "now": self._clock(),
                    "columns": COLUMNS,
                    "samples": samples[bisect_right(samples, since, key=itemgetter(0)) :],
                    "workers": {name: series.after(since) for name, series in kept.workers.items()},
                    "marks": [mark for mark in kept.marks if mark.t > since - _HEARD_OF],
                }
            )


def _bounded(marks: list[ChartMark]) -> list[ChartMark]:
    """At most MARKS: the oldest of the kind that has most go, so that clients that are refused all the time
    do not displace a reload."""
    kinds = Counter(mark.kind for mark in marks)
    gone = set()
    for _ in range(len(marks) - MARKS):
        ((most, _),) = kinds.most_common(1)
        kinds[most] -= 1
        gone.add(next(at for at, mark in enumerate(marks) if mark.kind == most and at not in gone))
    return [mark for at, mark in enumerate(marks) if at not in gone]


def _decoded(content: bytes | None) -> Kept | None:
    """Strangers talk to the process that has written it: it may be anything."""
    try:
        kept = None if content is None else msgspec.msgpack.decode(content, type=Kept)
    except (ValueError, RecursionError):
        return None
    return kept if kept is not None and _is_whole(kept) else None


def _is_whole(kept: Kept) -> bool:
    rows = all(map(_is_row, (*kept.fine, *kept.coarse)))
    return rows and all(len(each.t) == len(each.rss) == len(each.cpu) for each in kept.workers.values())


def _is_row(row: Row) -> bool:
    cells = zip(COLUMNS, row, strict=True)
    return all(isinstance(cell, int | float) or (cell is None and name in _MAY_LACK) for name, cell in cells)


def _take(kept: Kept, snapshot: Snapshot, now: float, when: float) -> None:
    known = _known(snapshot.totals, now)
    kept.fine = [*kept.fine, _row(snapshot, kept.last or known, known, when)][-FINE:]
    kept.last = known
    if kept.begun is None or _is_other(kept.begun, known):
        kept.begun = known
    elif now - kept.begun.when >= EVERY:
        kept.coarse = [*kept.coarse, _coarse(kept, snapshot, known, when)][-COARSE:]
        kept.begun = known
        _note_workers(kept.workers, snapshot.workers, when)


def _known(totals: TotalsStatus | None, now: float) -> Known:
    if totals is None:
        return Known(now, 0, 0, [])
    return Known(now, totals.requests, totals.answers.get("5xx", 0), totals.latency)


def _is_other(before: Known, now: Known) -> bool:
    """Whether these cannot be compared: counts of another program, or time itself, have begun anew."""
    return len(before.latency) != len(now.latency) or before.requests > now.requests or before.when > now.when


def _row(snapshot: Snapshot, before: Known, now: Known, when: float) -> Row:
    if _is_other(before, now):
        before = now
    seconds = now.when - before.when
    new = [count - earlier for count, earlier in zip(now.latency, before.latency, strict=True)]
    threads = snapshot.threads
    return [
        when,
        round((now.requests - before.requests) / seconds, 2) if seconds else 0.0,
        *(_rounded(quantile(new, share)) for share in (0.5, 0.95, 0.99)),
        threads.queued,
        threads.busy,
        threads.total,
        round((now.failures - before.failures) / seconds, 2) if seconds else 0.0,
        snapshot.generation,
    ]


def _coarse(kept: Kept, snapshot: Snapshot, now: Known, when: float) -> Row:
    assert kept.begun is not None
    row = _row(snapshot, kept.begun, now, when)
    begun = when - (now.when - kept.begun.when)
    since = [each for each in kept.fine if each[0] > begun]
    for column in (COLUMNS.index("queued"), COLUMNS.index("busy")):
        row[column] = max(each[column] for each in since)
    return row


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def _note_workers(kept: dict[str, WorkerHistory], workers: Iterable[WorkerStatus], when: float) -> None:
    """Of two with one number the one that serves, or comes."""
    for worker in sorted(workers, key=lambda each: (each.state == "serving", each.generation)):
        name = str(worker.number)
        if worker.pid is None or (name not in kept and len(kept) >= WORKERS):
            continue
        series = kept.setdefault(name, WorkerHistory())
        if series.t and series.t[-1] == when:
            del series.t[-1], series.rss[-1], series.cpu[-1]
        series.add(when, worker.rss, worker.cpu)
    for name, series in list(kept.items()):
        series.drop_before(when - EVERY * COARSE)
        if not series.t:
            del kept[name]
