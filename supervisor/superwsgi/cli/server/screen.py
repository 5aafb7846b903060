"""What `superwsgi status` shows of a site: one screen of a terminal, in plain words.

`width` is that of the terminal: what is longer is broken or cut, and columns that matter least are left out.
None is for whoever reads a pipe: there everything stands on its line, in full.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from superwsgi.board.counts import BOUNDS
from superwsgi.control import Snapshot
from superwsgi.log.spelling import duration, printable, share, size
from superwsgi.master.policy.health import period, spell_health, spell_workers
from superwsgi.snapshot import (
    CertificateStatus,
    CompanionStatus,
    CountsStatus,
    MemoryStatus,
    MinuteStatus,
    RunningStatus,
    SuspectStatus,
    ThreadsStatus,
    WorkerStatus,
    by_reason,
)

_COLUMNS: Final = (
    "worker", "pid", "gen", "state", "age", "cpu", "requests", "threads", "abandoned", "queued", "gated",
    "upgraded", "conns", "memory",
)  # fmt: skip
_COMPANIONS: Final = ("companion", "pid", "gen", "state", "age", "restarts", "memory")

_SELDOM: Final = ("abandoned", "queued", "gated", "upgraded")
"""Columns that are shown only where there is something in them."""

_LEAST: Final = ("conns", "requests", "age", "abandoned")
"""Columns that a narrow terminal goes without, in this order."""

_DEATHS: Final = 5
"""How many are shown, the latest first."""

_LEAKS: Final = 2

_WARNED: Final = 14.0
"""Days before its end from which a certificate is worth a warning: what renews them does so earlier."""


def spell(snapshot: Snapshot, where: str = "", width: int | None = None) -> str:
    """The site in a few lines, `where` its file and socket are among them, its workers as a table, and how
    they ended."""
    lines = [
        *_broken(_head(snapshot, where), width),
        "",
        *_table(_columns(snapshot.threads), map(_row, snapshot.workers), width),
        *_broken(_notes(snapshot.workers), width),
        *_companions(snapshot, width),
    ]
    return "\n".join([*lines, ""])


def spell_running(snapshot: Snapshot, width: int | None = None) -> str:
    """What runs now, the longest first."""
    if snapshot.running is None:
        return f"{snapshot.site}: its master is of an earlier version, and does not say what runs\n"
    shown, busy = len(snapshot.running), snapshot.threads.busy
    abandoned = snapshot.threads.abandoned
    lines = [f"{snapshot.site}: {busy} of {snapshot.threads.total} {_noun(snapshot.threads)}s busy"]
    lines[0] += f", {shown} of them shown" if shown < busy else ""
    lines[0] += f"; {abandoned} abandoned after a 504, in the application still" if abandoned else ""
    rows = map(_request, snapshot.running)
    if snapshot.running:
        columns = ("since", "worker", _noun(snapshot.threads), "id", "request")
        lines += ["", *_cut(_table(columns, rows, None), width)]
    return "\n".join([*lines, ""])


# Above the table.


def _head(snapshot: Snapshot, where: str) -> Iterator[str]:
    yield _summary(snapshot)
    yield from (f"  {printable(reason)}" for reason in snapshot.reasons)
    if snapshot.trouble and not snapshot.health:
        yield f"last reload failed: {printable(snapshot.trouble)}"
    listens = " ".join(snapshot.addresses) or "listens no more"
    yield f"{listens}, pid {snapshot.pid}, superwsgi {snapshot.program}"
    if snapshot.checks:
        yield f"health checks: {' '.join(snapshot.checks)}"
    if snapshot.admin is not None:
        pid = snapshot.admin.pid
        yield f"admin: {' '.join(snapshot.admin.addresses)}, {'not running' if pid is None else f'pid {pid}'}"
    if where:
        yield where
    if snapshot.certificate is not None:
        yield _certificate(snapshot.certificate)
    if snapshot.minute is not None:
        yield from _minute(snapshot.minute)
    if snapshot.held_back:
        yield f"no more workers: {printable(snapshot.held_back)}"
    yield from _threads(snapshot.threads)
    yield from _suspects(snapshot.suspects)
    if snapshot.totals is not None:
        yield f"total: {_answers(snapshot.totals)}"


def _summary(snapshot: Snapshot) -> str:
    """`shop: degraded (reloading), generation 3 (generation 4 on its way), 2 of 2 workers, up 2h05m`."""
    health = snapshot.phase if not snapshot.health else spell_health(snapshot.health, snapshot.phase)
    generation = f", generation {snapshot.generation}" if snapshot.generation is not None else ""
    on_its_way = f" (generation {snapshot.candidate} on its way)" if snapshot.candidate is not None else ""
    least, most = snapshot.least, snapshot.most
    bounds = None if least is None or most is None or least == most else (least, most)
    workers = spell_workers(serving(snapshot), snapshot.wanted, bounds, pinned=snapshot.pinned)
    return f"{snapshot.site}: {health}{generation}{on_its_way}, {workers}, up {duration(snapshot.uptime)}"


def serving(snapshot: Snapshot) -> int:
    """How many workers serve; an older master does not say."""
    if snapshot.serving is not None:
        return snapshot.serving
    return sum(worker.state == "serving" for worker in snapshot.workers)


def _certificate(certificate: CertificateStatus) -> str:
    days = int(abs(certificate.days))
    spelled = f"{days} day{'' if days == 1 else 's'}"
    left = f"expired {spelled} ago" if certificate.days < 0 else f"{spelled} left"
    warning = "warning: " if certificate.days < _WARNED else ""
    return f"certificate: {warning}{left}, {printable(certificate.file)}"


def _minute(minute: MinuteStatus) -> Iterator[str]:
    label = period(minute.seconds).removeprefix("the ")
    if not (minute.requests or minute.turned_away):
        yield f"{label}: no requests"
        return
    rate = f"{minute.rate:.0f}" if minute.rate >= 10 else f"{minute.rate:.1f}"
    yield f"{label}: {rate} requests/s, {_answers(minute)}"
    refused = [*_refused(minute)]
    if minute.shed:
        refused.append(f"{minute.shed:,} of these shed (limits.queue_age)")
    if minute.turned_away:
        refused.append(f"{minute.turned_away:,} closed, client not known")
    if refused:
        yield f"refused: {', '.join(refused)}"
    yield f"latency: {_latency(minute.p50, minute.p99)} from arrival to the last byte"
    yield f"in the application: {_latency(minute.app_p50, minute.app_p99)}"


def _answers(counts: CountsStatus) -> str:
    """`61,422 requests, 120 answered 4xx, 40 answered 5xx`."""
    client, server = counts.answers["4xx"], counts.answers["5xx"]
    return f"{counts.requests:,} requests, {client:,} answered 4xx, {server:,} answered 5xx"


def _refused(counts: CountsStatus) -> Iterator[str]:
    """`30 with 503 (no free thread)`, the most frequent first."""
    for (status, reason), count in sorted(by_reason(counts).items(), key=lambda each: -each[1]):
        if count:
            yield f"{count:,} with {status}" + (f" ({reason})" if reason else "")


def _suspects(suspects: Sequence[SuspectStatus]) -> Iterator[str]:
    """`suspect: GET /report, in hand in 3 of 3 crashes`."""
    for each in suspects:
        quarantine = f", in quarantine for {duration(each.quarantine)} more" if each.quarantine else ""
        yield f"suspect: {printable(each.kind)}, in hand in {each.crashes} of {each.of} crashes{quarantine}"


def _latency(half: float | None, most: float | None) -> str:
    return f"p50 {_took(half)}, p99 {_took(most)}"


def _took(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    return duration(seconds) if seconds < BOUNDS[-1] else f"over {duration(BOUNDS[-1])}"


def _noun(threads: ThreadsStatus) -> str:
    return "greenlet" if threads.green else "thread"


def _threads(threads: ThreadsStatus) -> Iterator[str]:
    """`threads: 3 of 4 busy, up to 32`; nothing while no worker serves, and of an older master."""
    if threads.most:
        more = f", up to {threads.most}" if threads.most > threads.total else ""
        abandoned = f", {threads.abandoned} abandoned" if threads.abandoned else ""
        abandoned += f", {threads.left} whose clients have left" if threads.left else ""
        queued = f", queued: {_queued(threads)}" if threads.queued else ""
        yield f"{_noun(threads)}s: {threads.busy} of {threads.total} busy{more}{abandoned}{queued}"
    if threads.gated:
        by = printable(threads.gated_by) if threads.gated_by else "their rule in paths"
        yield f"gated by {by}: {_waiting(threads.gated, threads.gated_for)}"


# The table, and below it.


def _columns(threads: ThreadsStatus) -> list[str]:
    return [f"{_noun(threads)}s" if name == "threads" else name for name in _COLUMNS]


def _row(worker: WorkerStatus) -> tuple[str, ...]:
    here = worker.pid is not None
    return (
        str(worker.number),
        str(worker.pid) if here else "-",
        str(worker.generation),
        worker.state,
        "-" if worker.age is None else duration(worker.age),
        "-" if worker.cpu is None else share(worker.cpu),
        str(worker.requests) if here else "-",
        _busy(worker.threads),
        str(worker.threads.abandoned or "-"),
        _queued(worker.threads),
        _waiting(worker.threads.gated, worker.threads.gated_for),
        str(worker.upgraded or "-"),
        str(worker.connections) if here else "-",
        "-" if worker.rss is None else size(worker.rss) + _limit(worker.memory),
    )


def _limit(memory: MemoryStatus) -> str:
    """`, 600M in 3h00m`: when it will reach its limit, if it goes on growing."""
    if memory.limit is None or memory.limit_in is None:
        return ""
    return f", {size(memory.limit)} in {duration(memory.limit_in)}"


def _busy(threads: ThreadsStatus) -> str:
    """`3/4 of 32`; `3/4` if there are not more than these four."""
    more = f" of {threads.most}" if threads.most > threads.total else ""
    return f"{threads.busy}/{threads.total}{more}" if threads.most else "-"


def _queued(threads: ThreadsStatus) -> str:
    return _waiting(threads.queued, threads.oldest)


def _waiting(count: int, seconds: float | None) -> str:
    """`3 for 2s`."""
    if not count:
        return "-"
    return str(count) if seconds is None else f"{count} for {duration(seconds)}"


def _request(running: RunningStatus) -> tuple[str, ...]:
    method, target, name = map(printable, (running.method, running.target, running.id))
    return duration(running.seconds), str(running.worker), str(running.thread), name, f"{method} {target}"


def _table(columns: Sequence[str], rows: Iterable[tuple[str, ...]], width: int | None) -> Iterator[str]:
    table = [
        column
        for column in zip(columns, *rows, strict=True)
        if column[0] not in _SELDOM or {*column[1:]} - {"-"}
    ]
    for least in _LEAST:
        if width is not None and sum(_widths(table)) + 2 * (len(table) - 1) > width:
            table = [column for column in table if column[0] != least]
    for row in zip(*table, strict=True):
        cells = (cell.ljust(width) for cell, width in zip(row, _widths(table), strict=True))
        yield "  ".join(cells).rstrip()


def _widths(table: Iterable[Sequence[str]]) -> list[int]:
    return [max(map(len, column)) for column in table]


def _notes(workers: Sequence[WorkerStatus]) -> Iterator[str]:
    """Which are to be recycled, and how the last ones ended."""
    for worker in workers:
        if worker.recycle and worker.state == "serving":
            yield f"worker {worker.number} is to be recycled: {printable(worker.recycle)}"
    yield from _leaks(workers)
    ended = {worker.number: death for worker in workers if (death := worker.last_death) is not None}
    latest = sorted(ended.items(), key=lambda each: each[1].ago)
    for number, death in latest[:_DEATHS]:
        incident = f" #{death.incident}" if death.incident else ""
        yield f"worker {number} ended {duration(death.ago)} ago: {printable(death.how)}{incident}"
    if len(latest) > _DEATHS:
        yield f"and {len(latest) - _DEATHS} more that ended before"


def _companions(snapshot: Snapshot, width: int | None) -> Iterator[str]:
    """A table of their own, why some are not to stay, and how the last ones ended."""
    if snapshot.companions:
        yield ""
        yield from _table(_COMPANIONS, map(_companion, snapshot.companions), width)
        yield from _broken(_notes_on_companions(snapshot.companions, snapshot.reasons), width)


def _companion(one: CompanionStatus) -> tuple[str, ...]:
    return (
        one.name,
        "-" if one.pid is None else str(one.pid),
        "-" if one.generation is None else str(one.generation),
        one.state,
        "-" if one.age is None else duration(one.age),
        str(one.restarts),
        "-" if one.rss is None else size(one.rss),
    )


def _notes_on_companions(companions: Sequence[CompanionStatus], reasons: Sequence[str]) -> Iterator[str]:
    """What the `reasons` at the top do not say already."""
    for one in companions:
        said = f"companion {one.name}: {one.why}"
        if one.why and said not in reasons:
            yield printable(said)
    ended = [(one.last_end, one.name) for one in companions if one.last_end is not None]
    for end, name in sorted(ended, key=lambda each: each[0].ago)[:_DEATHS]:
        incident = f" #{end.incident}" if end.incident else ""
        yield f"companion {name} ended {duration(end.ago)} ago: {printable(end.how)}{incident}"


def _leaks(workers: Sequence[WorkerStatus]) -> Iterator[str]:
    """Requests that make workers grow, each kind once."""
    leaks = {one.kind: (worker.number, one) for worker in workers for one in worker.memory.leaks}
    for number, one in [*leaks.values()][:_LEAKS]:
        grown = f"grown {size(one.each)} a request by {printable(one.kind)}"
        yield f"worker {number}: {grown}, in {one.requests:,} of them"


# Lines that are too long.


def _broken(lines: Iterable[str], width: int | None) -> Iterator[str]:
    for line in lines:
        if width is None or len(line) <= width:
            yield line
        else:
            yield from textwrap.wrap(line, width, subsequent_indent="    ", break_on_hyphens=False)


def _cut(lines: Iterable[str], width: int | None) -> Iterator[str]:
    for line in lines:
        yield line if width is None or len(line) <= width else f"{line[: width - 1]}…"
