"""What Prometheus scrapes: the site as a Snapshot has it, so `superwsgi status`, the page and this never
differ, and after it what the application has counted itself.

Names follow Prometheus' conventions: base units, `_total` for what only grows. Each label has few values: a
worker is known by its number, which its successors inherit, and a site by nothing (`job` and `instance` are
the scraper's; its name is in `superwsgi_site_info`, to be joined where wanted). Names that begin with
`superwsgi_` are ours: a metric of the application's that has one is left out, and counted as left out.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

from prometheus_client import Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    StateSetMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from superwsgi.admin.metrics.application import AppMetrics, Collected, plain, spelled
from superwsgi.control import Snapshot
from superwsgi.snapshot import (
    NOT_UPGRADED,
    QUARANTINED,
    REFUSALS,
    CompanionStatus,
    TotalsStatus,
    WorkerStatus,
    by_reason,
)

PREFIX: Final = "superwsgi_"

_Encode = Callable[[Collector], bytes]
_Number = float | None


def _quarantined(snapshot: Snapshot) -> int:
    return sum(each.quarantine is not None for each in snapshot.suspects)


_HEALTHS: Final = ("healthy", "degraded", "down")
_PHASES: Final = ("starting", "running", "reloading", "stopping")

_GAUGES: Final[Sequence[tuple[str, str, Callable[[Snapshot], _Number]]]] = (
    ("uptime_seconds", "Time since this program of the master began.", lambda s: s.uptime),
    ("generation", "Number of the generation that serves.", lambda s: s.generation),
    ("candidate_generation", "Number of the generation that is being rolled out.", lambda s: s.candidate),
    ("workers_wanted", "Workers that there should be.", lambda s: s.wanted),
    ("workers_min", "Workers that there are at least.", lambda s: s.least),
    ("workers_max", "Workers that there may be at most.", lambda s: s.most),
    ("workers_serving", "Workers that serve.", lambda s: s.serving),
    ("threads", "Threads of the workers that serve.", lambda s: s.threads.total),
    ("threads_busy", "Threads that have a request in hand.", lambda s: s.threads.busy),
    ("threads_max", "Threads that there may be.", lambda s: s.threads.most),
    ("threads_abandoned", "Threads in the application after their 504.", lambda s: s.threads.abandoned),
    ("threads_left", "Threads that wait for something to tell clients that left.", lambda s: s.threads.left),
    ("queue_requests", "Requests that wait for a thread.", lambda s: s.threads.queued),
    ("queue_oldest_seconds", "How long the first of them has waited.", lambda s: s.threads.oldest or 0.0),
    ("queue_gated_requests", "Requests that wait for others of their rule.", lambda s: s.threads.gated),
    ("suspects", "Kinds of requests that seem to end workers.", lambda s: len(s.suspects)),
    ("quarantined_kinds", "Those of them that are answered 503.", _quarantined),
    ("requests_in_flight", "Requests in the application.", lambda s: _all(s, "in_flight")),
    ("responses_sending", "Answers that clients have not taken yet.", lambda s: _all(s, "sending")),
    ("connections", "Open connections.", lambda s: _all(s, "connections")),
    (
        "upgraded_connections",
        "Of these, those that the application has taken over, as for WebSocket.",
        lambda s: _all(s, "upgraded"),
    ),
    (
        "certificate_expiry_timestamp_seconds",
        "When the certificate that expires first does, in seconds since 1970.",
        lambda s: s.certificate.expires if s.certificate is not None else None,
    ),
)
"""Name, help, and the number; None: it is not there."""

_WORKERS: Final[Sequence[tuple[str, str, Callable[[WorkerStatus], _Number]]]] = (
    ("worker_resident_memory_bytes", "Memory of a worker, as it is shown by ps (rss).", lambda w: w.rss),
    ("worker_proportional_memory_bytes", "Its share of what it shares with others (pss).", lambda w: w.pss),
    (
        "worker_memory_limit_in_seconds",
        "When a worker that grows will reach memory.soft or else memory.hard.",
        lambda w: w.memory.limit_in,
    ),
    (
        "worker_leak_bytes_per_request",
        "By how much requests of the kind that leaks most make a worker grow.",
        lambda w: w.memory.leaks[0].each if w.memory.leaks else None,
    ),
    ("worker_cpu_cores", "CPU time a second in the last second, 1 is one core.", lambda w: w.cpu),
    ("worker_threads_busy", "Threads of a worker that have a request in hand.", lambda w: w.threads.busy),
    ("worker_threads", "Threads of a worker.", lambda w: w.threads.total),
    ("worker_connections", "Open connections of a worker.", lambda w: w.connections),
)
"""As above, by the worker's number: while one takes over from another, they are added up."""

_COMPANIONS: Final[Sequence[tuple[str, str, Callable[[CompanionStatus], _Number]]]] = (
    ("companion_up", "Whether a companion runs.", lambda c: float(c.pid is not None)),
    ("companion_resident_memory_bytes", "Memory of a companion and all below it (rss).", lambda c: c.rss),
)
"""As above, by the companion's name; `mail:2` where there are several."""

_COUNTERS: Final[Sequence[tuple[str, str, Callable[[TotalsStatus], float]]]] = (
    ("connections_accepted", "Connections that were accepted.", lambda t: t.accepted),
    (
        "connections_turned_away",
        "Connections closed, as nobody knew whose they were.",
        lambda t: t.turned_away,
    ),
    (
        "connections_upgraded",
        "Connections that the application had taken over, and that have ended.",
        lambda t: t.upgrades,
    ),
    ("requests_shed", "Requests refused so that others are in time (limits.queue_age).", lambda t: t.shed),
    ("response_body_bytes", "Bytes of the bodies of answers.", lambda t: t.sent),
    ("cpu_seconds", "CPU time of all workers that there are and were.", lambda t: t.cpu),
)

_BY: Final[Sequence[tuple[str, str, str, Callable[[TotalsStatus], Mapping[str, int]]]]] = (
    ("worker_restarts", "Workers that were replaced.", "cause", lambda t: t.restarts),
    ("reloads", "Reloads that have ended.", "result", lambda t: t.reloads),
    ("incidents", "What has gone wrong, as in `superwsgi why`.", "event", lambda t: t.incidents),
)
"""Name, help and label of counters by one label."""


def exposition(snapshot: Snapshot, accept: str, own: AppMetrics | None) -> tuple[str, bytes]:
    """The content type and body of an answer to a scrape that has sent `accept`; `own` are the application's
    metrics, if they are wanted. Whatever is in them, ours are answered."""
    began = time.perf_counter()
    living = frozenset(worker.pid for worker in snapshot.workers if worker.pid is not None)
    collected = own.collect(living) if own is not None else Collected()
    encode, content_type = _encoder(accept)
    theirs = [family for family in collected.families if not plain(family.name).startswith(PREFIX)]
    left_out = dict(collected.left_out)
    if own is not None:
        left_out["name"] += len(collected.families) - len(theirs)
    help_text = "Time that it took to put this answer together."
    ours = [
        *_families(snapshot),
        *_left_out(left_out),
        _gauge("scrape_duration_seconds", help_text, time.perf_counter() - began),
    ]
    return content_type, _written(encode, ours, theirs)


def _written(encode: _Encode, ours: Sequence[Metric], theirs: Sequence[Metric]) -> bytes:
    """Applications may have written anything into their files: what cannot be spelled is not there."""
    try:
        return encode(_Given([*ours, *theirs]))
    except Exception:
        return encode(_Given([*ours, *(family for family in theirs if _can_be_written(encode, family))]))


def _can_be_written(encode: _Encode, family: Metric) -> bool:
    try:
        encode(_Given([family]))
    except Exception:
        return False
    return True


class _Given(Collector):
    """Families, as an encoder takes them."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        return self._families


def _encoder(accept: str) -> tuple[_Encode, str]:
    try:
        return choose_encoder(accept)
    except (ValueError, TypeError):  # a version that cannot be compared
        return choose_encoder("")


# Ours.


def _families(snapshot: Snapshot) -> Iterator[Metric]:
    yield from _about(snapshot)
    for name, help_text, number in _GAUGES:
        value = number(snapshot)
        if value is not None:
            yield _gauge(name, help_text, value)
    yield from _of_workers(snapshot.workers)
    if snapshot.companions:
        yield from _of_companions(snapshot.companions)
    if snapshot.totals is not None:
        yield from _totals(snapshot.totals)


def _about(snapshot: Snapshot) -> Iterator[Metric]:
    compiled = "yes" if snapshot.compiled else "no"
    built = {"version": snapshot.program, "python": snapshot.python, "compiled": compiled}
    yield InfoMetricFamily(f"{PREFIX}build", "The program that runs the site.", built)
    yield InfoMetricFamily(f"{PREFIX}site", "The site.", {"site": snapshot.site})
    yield _states("health", "Whether the site is well.", _HEALTHS, snapshot.health)
    yield _states("phase", "Where the site is on its way.", _PHASES, snapshot.phase)


def _of_workers(workers: Sequence[WorkerStatus]) -> Iterator[Metric]:
    for name, help_text, number in _WORKERS:
        sums: defaultdict[int, float] = defaultdict(float)
        for worker in workers:
            value = number(worker) if worker.pid is not None else None
            if value is not None:
                sums[worker.number] += value
        family = GaugeMetricFamily(PREFIX + name, help_text, labels=["worker"])
        for each, value in sums.items():
            family.add_metric([str(each)], value)
        yield family


def _of_companions(companions: Sequence[CompanionStatus]) -> Iterator[Metric]:
    for name, help_text, number in _COMPANIONS:
        family = GaugeMetricFamily(PREFIX + name, help_text, labels=["companion"])
        for each in companions:
            value = number(each)
            if value is not None:
                family.add_metric([each.name], value)
        yield family
    help_text = "Restarts of a companion that nobody had asked for."
    restarts = CounterMetricFamily(f"{PREFIX}companion_restarts", help_text, labels=["companion"])
    for each in companions:
        restarts.add_metric([each.name], each.restarts)
    yield restarts


def _totals(totals: TotalsStatus) -> Iterator[Metric]:
    yield _requests(totals)
    yield _refused(totals)
    whole = "Time of a request from its arrival to the last byte of its answer."
    inside = "Time of a request in the application."
    yield _durations("request_duration_seconds", whole, totals.bounds, [([], totals.latency, totals.time)])
    yield _durations(
        "app_duration_seconds", inside, totals.bounds, [([], totals.app_latency, totals.app_time)]
    )
    for name, help_text, number in _COUNTERS:
        yield CounterMetricFamily(PREFIX + name, help_text, number(totals))
    for name, help_text, label, numbers in _BY:
        family = CounterMetricFamily(PREFIX + name, help_text, labels=[label])
        for value, count in numbers(totals).items():
            family.add_metric([value], count)
        yield family
    if totals.paths is not None:
        yield from _paths(totals)


def _requests(totals: TotalsStatus) -> Metric:
    family = CounterMetricFamily(
        f"{PREFIX}requests", "Requests that were answered.", labels=["method", "status"]
    )
    for method, answers in totals.methods.items():
        for status, count in answers.items():
            family.add_metric([method, status], count)
    return family


def _refused(totals: TotalsStatus) -> Metric:
    help_text = "Requests that the server itself has answered."
    family = CounterMetricFamily(f"{PREFIX}refused_requests", help_text, labels=["status", "reason"])
    refused = by_reason(totals)
    for status, reason in [*REFUSALS.items(), ("503", QUARANTINED), ("503", NOT_UPGRADED)]:
        family.add_metric([status, reason], refused.get((status, reason), 0))
    return family


def _paths(totals: TotalsStatus) -> Iterator[Metric]:
    """Where the site asks for them: how many there are is bounded where they are counted."""
    paths = totals.paths or ()
    labels = ["method", "path"]
    requests = CounterMetricFamily(
        f"{PREFIX}path_requests",
        "Requests that were answered, by group of paths.",
        labels=[*labels, "status"],
    )
    inside = CounterMetricFamily(
        f"{PREFIX}path_app_seconds", "Time in the application, by group of paths.", labels=labels
    )
    for each in paths:
        for status, count in each.answers.items():
            requests.add_metric([each.method, each.group, status], count)
        inside.add_metric([each.method, each.group], each.app_time)
    yield requests
    yield inside
    help_text = "Time of a request from its arrival to the last byte of its answer, by group of paths."
    series = [([each.method, each.group], each.latency, each.time) for each in paths]
    yield _durations("path_request_duration_seconds", help_text, totals.bounds, series, labels)


# Kinds of metrics.


def _gauge(name: str, help_text: str, value: float) -> Metric:
    return GaugeMetricFamily(PREFIX + name, help_text, value)


def _states(name: str, help_text: str, states: Iterable[str], current: str) -> Metric:
    return StateSetMetricFamily(PREFIX + name, help_text, {state: state == current for state in states})


def _durations(
    name: str,
    help_text: str,
    bounds: Sequence[float],
    series: Iterable[tuple[Sequence[str], Sequence[int], float]],
    labels: Sequence[str] = (),
) -> Metric:
    """A histogram; each of the `series` is its labels, how many fell between two bounds, and the sum."""
    family = HistogramMetricFamily(PREFIX + name, help_text, labels=labels)
    ends = [*map(spelled, bounds), "+Inf"]
    for values, counts, total in series:
        seen = 0
        buckets = [(end, seen := seen + count) for end, count in zip(ends, counts, strict=True)]
        family.add_metric(values, buckets, sum_value=total)
    return family


def _left_out(reasons: Mapping[str, int]) -> Iterator[Metric]:
    help_text = "Of the application's: metrics (name), series (kind, malformed), files (unreadable)."
    if reasons:
        family = GaugeMetricFamily(f"{PREFIX}app_left_out", help_text, labels=["reason"])
        for reason, count in reasons.items():
            family.add_metric([reason], count)
        yield family


def _all(snapshot: Snapshot, field: str) -> int:
    return sum(getattr(worker, field) for worker in snapshot.workers)
