"""What a Snapshot (control.py) is made of: the state of a site in plain numbers and words; times in seconds,
sizes in bytes.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

REFUSALS: Final[dict[str, str]] = {
    "400": "malformed",
    "408": "too slow",
    "413": "body too large",
    "414": "target too long",
    "417": "expectation",
    "421": "wrong host",
    "429": "too many connections",
    "431": "head too large",
    "501": "not implemented",
    "503": "no free thread",
    "504": "too long in the application",
    "505": "HTTP version",
}
"""Why the server itself answers, by status."""

QUARANTINED: Final = "in quarantine"
NOT_UPGRADED: Final = "limits.upgraded"
"""Why it answers 503 in some cases."""

_NO_THREAD: Final = "503", REFUSALS["503"]

RECYCLED: Final = "recycled: "
"""So begins `how` of a worker that was replaced as planned; what follows is why."""


class DeathStatus(Struct, frozen=True):
    """An unexpected end of a worker, or its replacement: how, in words, and `ago` in seconds; `incident` is
    its number, 0 if it has none."""

    how: str
    ago: float
    incident: int = 0


class ThreadsStatus(Struct, frozen=True):
    """The threads of a worker, or of all workers that serve: `busy` of `total` have a request in hand, and
    there may be `most`. `queued` requests wait for one, the first for `oldest` seconds, None if that is not
    known. `gated` more wait until others of their rule are answered, the first for `gated_for` seconds, as
    the key `gated_by` wants it. `abandoned` were written off after a 504, and are in the application
    still; `left` wait there for something to tell clients that have left. `green`: they are greenlets."""

    busy: int = 0
    total: int = 0
    most: int = 0
    queued: int = 0
    oldest: float | None = None
    abandoned: int = 0
    gated: int = 0
    gated_for: float | None = None
    gated_by: str | None = None
    left: int = 0
    green: bool = False


class LeakStatus(Struct, frozen=True):
    """Requests of this `kind`, a method and a group of paths, make a worker grow by so many bytes `each`:
    it has seen that in `requests`, `since` then (Unix time in seconds). `proven`: it is a leak, as a cache
    that fills would have stopped by now."""

    kind: str
    each: float
    requests: int
    since: float
    proven: bool = True


class FiguresStatus(Struct, frozen=True):
    """The memory of a worker so many seconds `ago`, in bytes; `pss` and `private`, which it shares with
    nobody, only where they were measured."""

    ago: float
    rss: int
    pss: int | None = None
    private: int | None = None


class MemoryStatus(Struct, frozen=True):
    """How the memory of a worker goes on: `limit` is that of memory.soft or else memory.hard in bytes,
    `limit_in` seconds until it will be reached, `grows` bytes a second, both None unless it grows
    steadily. `leaks` are requests that make it grow, the worst first; `series` is how it has been, at
    most 64 figures."""

    limit: int | None = None
    limit_in: float | None = None
    grows: float | None = None
    leaks: list[LeakStatus] = []
    series: list[FiguresStatus] = []


class WorkerStatus(Struct, frozen=True):
    """A worker, or a number that waits for one: then `pid` is None. `age` in seconds of service, `rss` in
    bytes, as is `pss`, what of shared pages is its part: that is measured only for a minute after somebody
    has asked for it, one worker a second, and so is None at first and up to as many seconds old as there
    are workers. `cpu` is in seconds a second (1.0: one core), None for the first second, `cpu_seconds` what
    it has spent since its start; both are up to a second old. `memory` is how its memory goes on. `recycle`
    is why it is to be replaced, `state` as in master/states.py, or `missing`, `crash-loop`, or of one that
    has not gone on for seconds `stopped` (by a signal) or `hangs`.

    `requests` and `failures` (5xx) are what it has answered. In hand it has `in_flight` requests in the
    application, `threads.queued` and `threads.gated` that wait, `taken` that it is about to run or count, and
    `sending` answers that their clients have not taken yet; `upgraded` of its `connections` are the
    application's (WebSocket).
    """

    number: int
    generation: int
    state: str
    pid: int | None = None
    age: float | None = None
    requests: int = 0
    failures: int = 0
    in_flight: int = 0
    connections: int = 0
    rss: int | None = None
    recycle: str | None = None
    last_death: DeathStatus | None = None
    threads: ThreadsStatus = ThreadsStatus()
    cpu: float | None = None
    taken: int = 0
    sending: int = 0
    pss: int | None = None
    cpu_seconds: float | None = None
    memory: MemoryStatus = MemoryStatus()
    upgraded: int = 0


class RunningStatus(Struct, frozen=True):
    """A request that is in the application of a worker, in that `thread`, for so many `seconds`. `target` and
    `id` may be cut."""

    worker: int
    generation: int
    pid: int | None
    thread: int
    method: str
    target: str
    id: str
    seconds: float


class SuspectStatus(Struct, frozen=True):
    """A `kind` of requests, a method and a group of paths, that was in hand in `crashes` of `of` crashes
    within ten minutes, and at no more than `share` of other moments. `quarantine`: for so many more seconds
    it is answered 503; None if it is not."""

    kind: str
    crashes: int
    of: int
    share: float
    quarantine: float | None = None


class CountsStatus(Struct, frozen=True, kw_only=True):
    """What was counted: `requests` answered, in `answers` by class of status (`2xx` to `5xx`), and of these
    in `refused` by status those that the server itself has answered, of which `shed` at once, so that others
    were in time (limits.queue_age). `accepted` connections, `turned_away`
    those that were closed unanswered as nobody knew whose they were; `sent` bytes of response bodies. The
    access log has no line of `unlogged` requests, as `log.skip`, `log.sample` and `paths` want it. Of
    those refused with 503, `quarantined` were of a kind that is suspected of ending workers, and
    `not_upgraded` asked for a connection beyond limits.upgraded. `upgrades` are connections that the
    application had taken over, and that have ended."""

    requests: int
    answers: dict[str, int]
    refused: dict[str, int]
    accepted: int
    turned_away: int
    sent: int
    unlogged: int = 0
    shed: int = 0
    quarantined: int = 0
    not_upgraded: int = 0
    upgrades: int = 0


def by_reason(counts: CountsStatus) -> dict[tuple[str, str], int]:
    """What the server itself has answered, by status and reason; that is empty for a status that is not
    known."""
    refused = {(status, REFUSALS.get(status, "")): count for status, count in counts.refused.items()}
    for reason, count in ((QUARANTINED, counts.quarantined), (NOT_UPGRADED, counts.not_upgraded)):
        if count:
            others = refused.get(_NO_THREAD, 0) - count
            refused |= {_NO_THREAD: max(0, others), ("503", reason): count}
    return refused


class MinuteStatus(CountsStatus, frozen=True, kw_only=True):
    """The last `seconds`, about a minute, less after the start; `rate` is in requests a second. Half of the
    requests took at most `p50` seconds from arrival to the last byte, 99 % `p99`; `app_p50` and `app_p99` are
    in the application. None if there were none; 60 means 60 or more."""

    seconds: float
    rate: float
    p50: float | None = None
    p99: float | None = None
    app_p50: float | None = None
    app_p99: float | None = None


class PathTotals(Struct, frozen=True):
    """What was answered by a `method` in a `group` of paths, such as `/orders/*`: as in TotalsStatus. `other`
    are all groups beyond the first hundred of a site."""

    method: str
    group: str
    answers: dict[str, int]
    latency: list[int]
    time: float
    app_time: float


class TotalsStatus(CountsStatus, frozen=True, kw_only=True):
    """Since the start of the master, over all workers, reloads and upgrades; none of it ever goes back.
    `time` and `app_time` are sums of seconds from arrival to the last byte, and in the application; `latency`
    and `app_latency` are their histograms: how many requests took at most as many seconds as `bounds` has at
    the same place, and more than the bound before it. The last count has no bound. `methods` has the
    `answers` of each method that was asked with; `other` are those without a count of their own, and requests
    that could not be understood.

    `restarts` are workers that had to be replaced, by cause (master/policy/causes.py), `reloads` those that
    have ended, by outcome, each with 0 until there is one; `incidents` what `why` tells of, each time it
    happened, by event. `cpu` is in seconds, of all workers there are and were. `paths` is None unless the
    site asks for it (metrics.paths); it counts from then on, and at once, so that under load it is some
    requests ahead."""

    time: float
    app_time: float
    bounds: list[float]
    latency: list[int]
    app_latency: list[int]
    methods: dict[str, dict[str, int]] = {}
    restarts: dict[str, int] = {}
    reloads: dict[str, int] = {}
    incidents: dict[str, int] = {}
    cpu: float = 0.0
    paths: list[PathTotals] | None = None


class CertificateStatus(Struct, frozen=True):
    """The one that expires first: its file, when, in seconds since 1970, and in how many `days`; less than 0
    once it has."""

    file: str
    expires: float
    days: float


class AdminStatus(Struct, frozen=True):
    """The admin process: `pid` is None while there is none, `addresses` are those of its page."""

    pid: int | None
    addresses: list[str]


class CompanionStatus(Struct, frozen=True):
    """A place of a companion: `mail`, or `mail:2` where there are several. `state` is waiting, running,
    ending, killed or clearing (what it had started is being ended), or crash-loop, or stopped by a signal.
    `age` in seconds, None while it does not run; `rss` in bytes, with all processes below it; `restarts` that
    nobody had asked for. `why` it does not run, or not for much longer."""

    name: str
    state: str
    pid: int | None = None
    generation: int | None = None
    age: float | None = None
    restarts: int = 0
    rss: int | None = None
    why: str = ""
    last_end: DeathStatus | None = None
