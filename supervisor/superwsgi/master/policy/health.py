"""How a site is, in a word, and why. Pure: control/signs.py has what is judged here, and whoever tells of the
site, status or systemd, has its word from here.

What clients do wrong is no reason: anybody on the internet could make a site degraded. What the server cannot
do for them is one, however seldom, for as long as it is in the last minute.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from superwsgi.board.counts import REFUSED, Counts
from superwsgi.log.spelling import duration, share
from superwsgi.master.policy.last_minute import LastMinute

FAILING: Final = 0.1
"""From which share of requests on it counts that the application answers 5xx: for a bug in one page nobody
has to be woken, for a database that is down somebody has."""

_LACKS: Final = {
    503: "none of their threads was free in time",
    504: "the application took longer than timeouts.request, or their rule in paths, allows",
}
"""What the server itself answers for want of something, and what it lacked."""

_NOT_UPGRADED: Final = "as many connections are upgraded as limits.upgraded allows"

_SERVERS_5XX: Final = [REFUSED.index(status) for status in REFUSED if status >= 500]


class Health(Enum):
    HEALTHY = "healthy"
    DEGRADED = "degraded"  # clients are served, but something is wrong
    DOWN = "down"  # no worker serves


@dataclass(frozen=True, slots=True)
class WorkerSigns:
    """Of one that should serve: for how many seconds it has been `stopped` by a signal, or `silent` although
    it should have turned its loop; how many threads were `abandoned`, and its `cpu` seconds a second."""

    number: int
    stopped: float | None = None
    silent: float | None = None
    abandoned: int = 0
    cpu: float | None = None

    @property
    def serves(self) -> bool:
        return self.stopped is None and self.silent is None


@dataclass(frozen=True, slots=True)
class CompanionSigns:
    """Of a place of a companion that is to run: whether something runs in it, and why it does not stay."""

    name: str
    runs: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class SiteSigns:
    """All that health depends on, and `totals`: what was counted since the start, up to the same moment as
    `lately`. `phase` says where the site is on its way, `out_of_threads` for how many seconds it has been
    that, `trouble` why the last reload failed, `expires_in` when its first certificate does; `mold_lost`:
    there was a mold, and there is none again yet. `quarantine`: kinds of requests in quarantine, and for how
    many more seconds each. `outage`: since when nothing runs, and why. So many workers are `expected`: they
    were added lately, and are about to serve for the first time. `bounds` are of their number, None where it
    is fixed; it may be `pinned`, as an operator has said it."""

    phase: str
    wanted: int
    workers: tuple[WorkerSigns, ...]
    lately: LastMinute
    totals: Counts = field(default_factory=Counts)
    crash_loop: bool = False
    out_of_threads: float | None = None
    trouble: str = ""
    expires_in: float | None = None
    mold_lost: bool = False
    quarantine: tuple[tuple[str, float], ...] = ()
    companions: tuple[CompanionSigns, ...] = ()
    expected: int = 0
    bounds: tuple[int, int] | None = None
    pinned: bool = False
    outage: str = ""

    @property
    def serving(self) -> int:
        return sum(worker.serves for worker in self.workers)


@dataclass(frozen=True, slots=True)
class Condition:
    """What was judged: the word, the reasons for it, the gravest first, and what it was judged by."""

    health: Health
    reasons: tuple[str, ...]
    signs: SiteSigns


def judge(signs: SiteSigns) -> Condition:
    reasons = tuple(reason for reasons in _REASONS for reason in reasons(signs))
    if not signs.serving:
        return Condition(Health.DOWN, reasons or ("no worker serves",), signs)
    return Condition(Health.DEGRADED if reasons else Health.HEALTHY, reasons, signs)


def spell_health(health: str, phase: str) -> str:
    """`degraded`, or `degraded (reloading)` where something is going on."""
    return health if phase == "running" else f"{health} ({phase})"


def spell_workers(serving: int, wanted: int, bounds: tuple[int, int] | None, *, pinned: bool) -> str:
    """`3 of 4 workers (2 to 8)`: as many as the load calls for, within these bounds."""
    among = "" if bounds is None else " (asked for)" if pinned else f" ({bounds[0]} to {bounds[1]})"
    return f"{serving} of {wanted} workers{among}"


def period(seconds: float) -> str:
    """`the last minute`, or what there is of it."""
    return "the last minute" if seconds >= 55 else f"the last {duration(seconds)}"


# The reasons, each as one line.


def _outage(signs: SiteSigns) -> Iterator[str]:
    if signs.outage:
        yield signs.outage


def _missing(signs: SiteSigns) -> Iterator[str]:
    missing = signs.wanted - len(signs.workers) - (0 if signs.crash_loop else signs.expected)
    if signs.phase == "stopping":
        yield "it is being stopped"
    elif missing > 0:
        who = f"{missing} worker{'s are' if missing != 1 else ' is'}"
        why = ": crash loop, they die right after their start" if signs.crash_loop else ""
        yield f"{who} still starting" if signs.phase == "starting" and not why else f"{who} missing{why}"
    elif signs.crash_loop:
        yield "crash loop: workers die right after their start"


def _ailing(signs: SiteSigns) -> Iterator[str]:
    for worker in signs.workers:
        if worker.stopped is not None:
            yield f"worker {worker.number} has been stopped by a signal for {duration(worker.stopped)}"
        elif worker.silent is not None:
            yield f"worker {worker.number} hangs: no sign of life for {duration(worker.silent)}"


def _refused(signs: SiteSigns) -> Iterator[str]:
    counts, seconds = signs.lately.counts, signs.lately.seconds
    of, lately = f"of {counts.requests:,} requests answered", f"in {period(seconds)}"
    for status in _LACKS:
        refused = counts.refused[REFUSED.index(status)]
        refused -= counts.quarantined + counts.not_upgraded if status == 503 else 0
        if refused > 0:
            yield f"{refused:,} {of} {status} {lately}: {_lack(status, counts)}"
    if counts.not_upgraded > 0:
        yield f"{counts.not_upgraded:,} {of} 503 {lately}: {_NOT_UPGRADED}"


def _lack(status: int, counts: Counts) -> str:
    if status != 503 or not counts.shed:
        return _LACKS[status]
    return f"{_LACKS[status]}; {counts.shed:,} were shed so that others were (limits.queue_age)"


def _failing(signs: SiteSigns) -> Iterator[str]:
    counts = signs.lately.counts
    failed = counts.failures - sum(counts.refused[each] for each in _SERVERS_5XX)
    if failed > 0 and failed >= FAILING * counts.requests:
        of = f"{failed:,} of {counts.requests:,} requests"
        yield f"the application answered {of} 5xx in {period(signs.lately.seconds)}"


def _in_quarantine(signs: SiteSigns) -> Iterator[str]:
    refused = signs.lately.counts.quarantined
    times = f", {refused:,} answered 503 in {period(signs.lately.seconds)}" if refused > 0 else ""
    for kind, seconds in signs.quarantine:
        yield f"{kind} is in quarantine for {duration(seconds)} more, as it ended workers{times}"


def _out_of_threads(signs: SiteSigns) -> Iterator[str]:
    if signs.out_of_threads is not None:
        yield f"out of threads for {duration(signs.out_of_threads)}"


def _abandoned(signs: SiteSigns) -> Iterator[str]:
    for worker in signs.workers:
        if worker.abandoned:
            threads = "1 thread is" if worker.abandoned == 1 else f"{worker.abandoned} threads are"
            cpu = "" if worker.cpu is None else f", CPU {share(worker.cpu)}"
            yield f"worker {worker.number}: {threads} still in the application after a 504{cpu}"


def _not_reloaded(signs: SiteSigns) -> Iterator[str]:
    if signs.trouble:
        yield f"last reload failed: {signs.trouble}"


def _without_mold(signs: SiteSigns) -> Iterator[str]:
    if signs.mold_lost:
        yield "its mold is lost: until there is another one, workers that end are not replaced"


def _without_companions(signs: SiteSigns) -> Iterator[str]:
    for companion in signs.companions:
        if companion.trouble:
            yield f"companion {companion.name}: {companion.trouble}"


def _expired(signs: SiteSigns) -> Iterator[str]:
    if signs.expires_in is not None and signs.expires_in < 0:
        yield f"a certificate expired {duration(-signs.expires_in)} ago"


_REASONS: Final[tuple[Callable[[SiteSigns], Iterator[str]], ...]] = (
    _outage, _missing, _ailing, _refused, _failing, _in_quarantine, _out_of_threads, _abandoned,
    _without_mold, _without_companions, _expired, _not_reloaded,
)  # fmt: skip
"""The gravest first."""
