"""What the figures must show: one row a target, each a ratio within the same run or a plain limit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.bench.results import Results
from tests.bench.scenarios import REAL
from tests.bench.servers import BEFORE, GREEN, OURS, OWN, THREADS

Figure = Callable[[Results], float | None]
"""The number that is compared; None where the run did not measure it."""

Best = Callable[[list[float]], float]
"""Of several servers: max or min."""


@dataclass(frozen=True)
class Target:
    text: str
    figure: Figure
    at_most: float | None = None
    at_least: float | None = None

    def holds(self, value: float) -> bool:
        return (self.at_most is None or value <= self.at_most) and (
            self.at_least is None or value >= self.at_least
        )

    def verdict(self, results: Results) -> str:
        """One line: PASS or FAIL; nothing where it was not measured."""
        value = self.figure(results)
        if value is None:
            return ""
        wanted = f"at most {self.at_most:g}" if self.at_most is not None else f"at least {self.at_least:g}"
        return f"{'PASS' if self.holds(value) else 'FAIL'}  {self.text}: {value:.3g} ({wanted})"


def _median(scenario: str, figure: str) -> Figure:
    return lambda results: results.median(scenario, OURS, figure)


def _worst(scenario: str, figure: str) -> Figure:
    return lambda results: max(results.values(scenario, OURS, figure), default=None)


def _to_peer(scenario: str, figure: str, peer: str) -> Figure:
    def ratio(results: Results) -> float | None:
        return _divide(results.median(scenario, OURS, figure), results.median(scenario, peer, figure))

    return ratio


def _to_best(scenario: str, figure: str, best: Best = max) -> Figure:
    def ratio(results: Results) -> float | None:
        peers = results.medians(scenario, results.peers(scenario), figure)
        return _divide(results.median(scenario, OURS, figure), best(peers)) if peers else None

    return ratio


def _within(scenario: str, figure: str, base: str) -> Figure:
    def ratio(results: Results) -> float | None:
        return _divide(results.median(scenario, OURS, figure), results.median(scenario, OURS, base))

    return ratio


def _to_scenario(scenario: str, figure: str, base: str) -> Figure:
    def ratio(results: Results) -> float | None:
        return _divide(results.median(scenario, OURS, figure), results.median(base, OURS, figure))

    return ratio


def _real(scenario: str, figure: str, best: Best) -> Figure:
    """The best of ours, however it is set up, of the best peer's."""

    def ratio(results: Results) -> float | None:
        peers = _faultless(results, scenario, results.peers(scenario), figure)
        ours = _faultless(results, scenario, [name for name in OWN if name != BEFORE], figure)
        return _divide(best(ours), best(peers)) if ours and peers else None

    return ratio


def _to_best_of(scenario: str, figure: str, server: str) -> Figure:
    def ratio(results: Results) -> float | None:
        peers = _faultless(results, scenario, results.peers(scenario), figure)
        return _divide(results.median(scenario, server, figure), max(peers, default=None))

    return ratio


def _faultless(results: Results, scenario: str, servers: list[str], figure: str) -> list[float]:
    """Of those that answered everything: a refusal is fast."""
    good = [name for name in servers if not results.median(scenario, name, "errors")]
    return results.medians(scenario, good, figure)


def _of(scenario: str, figure: str, server: str) -> Figure:
    return lambda results: results.median(scenario, server, figure)


def _divide(dividend: float | None, divisor: float | None) -> float | None:
    return dividend / divisor if dividend is not None and divisor else None


TARGETS = (
    Target(
        "hello: CPU per request, of Gunicorn gthread's", _to_peer("hello", "cpu_us", "gunicorn"), at_most=0.17
    ),
    Target("hello: CPU per request, of bjoern's", _to_peer("hello", "cpu_us", "bjoern"), at_most=1.6),
    Target("static: CPU per request, of hello's", _to_scenario("static", "cpu_us", "hello"), at_most=2),
    Target(
        "static: CPU per request, of Gunicorn's with WhiteNoise",
        _to_peer("static", "cpu_us", "gunicorn"),
        at_most=0.333,
    ),
    Target("flask: p99, of p50", _within("flask", "p99_ms", "p50_ms"), at_most=2),
    Target("flask: requests/s, of the best peer's", _to_best("flask", "rate"), at_least=0.95),
    Target("sleep: requests/s, of the best peer's", _to_best("sleep", "rate"), at_least=0.95),
    Target("flask: CPU per request, of before", _to_peer("flask", "cpu_us", BEFORE), at_most=1.03),
    Target("flask: p99, of before", _to_peer("flask", "p99_ms", BEFORE), at_most=1.1),
    Target("sleepers: requests/s, of before", _to_peer("sleepers", "rate", BEFORE), at_least=0.9),
    Target("mixed: quick p50 in ms, threads by default", _median("mixed", "p50_ms"), at_most=5),
    Target("mixed: quick p99 in ms, threads by default", _median("mixed", "p99_ms"), at_most=25),
    Target("mixed-fixed: quick p50 in ms, threads: 8", _median("mixed-fixed", "p50_ms"), at_most=20),
    Target(
        "mixed-fixed: slow requests/s, of queue: fifo",
        _to_scenario("mixed-fixed", "slow_rate", "mixed-fifo"),
        at_least=0.9,
    ),
    Target("mixed-300: quick p50 in ms, threads by default", _median("mixed-300", "p50_ms"), at_most=25),
    Target("sequential: threads met by hello, 64", _worst("sequential", "fixed_hello"), at_most=2),
    Target("sequential: threads met by what blocks, 64", _worst("sequential", "fixed_blocks"), at_most=2),
    Target("sequential: threads met by hello, default", _worst("sequential", "usual_hello"), at_most=3),
    Target(
        "sequential: threads met by what blocks, default", _worst("sequential", "usual_blocks"), at_most=3
    ),
    Target("stall-body: p99, of the best peer's", _to_best("stall-body", "p99_ms", min), at_most=1.1),
    Target("stall-workers: p99, of the best peer's", _to_best("stall-workers", "p99_ms", min), at_most=1.1),
    Target("stall-pages: p99, of the best peer's", _to_best("stall-pages", "p99_ms", min), at_most=1.1),
    Target("stall-queries: p99, of the best peer's", _to_best("stall-queries", "p99_ms", min), at_most=1.1),
    Target(
        "stall-sleepers: requests/s, of Granian's",
        _to_peer("stall-sleepers", "rate", "granian"),
        at_least=0.9,
    ),
    Target("TLS, hello: requests/s, of plain", _median("tls", "share"), at_least=0.8),
    Target("idle: CPU in % of a core", _median("idle", "idle_percent"), at_most=0.5),
    Target("mold: PSS of all processes, of one worker's RSS", _median("mold", "ratio"), at_most=1.35),
    Target("mold: ms until a killed worker is replaced", _median("mold", "replaced_ms"), at_most=60),
    Target("hazard: first page at start, of preload: false", _median("hazard", "start"), at_most=1.2),
    Target("hazard: first page at HUP, of preload: false", _median("hazard", "reload"), at_most=1.2),
    Target("reload: p99 during five HUPs, of quiet", _median("reload", "ratio"), at_most=3),
    Target("reload: broken exchanges, worst round", _worst("reload", "broken"), at_most=0),
    Target("slow-head: p99, of quiet", _median("slow-head", "ratio"), at_most=2),
    Target("slow-body: p99, of quiet", _median("slow-body", "ratio"), at_most=2),
    Target("slow-read: p99, of quiet", _median("slow-read", "ratio"), at_most=2),
    Target("idle-connections: p99, of quiet", _median("idle-connections", "ratio"), at_most=2),
    Target("idle-connections: bytes of memory each", _median("idle-connections", "bytes"), at_most=6144),
)

REAL_TARGETS = (
    *(
        Target(f"{name}: requests/s, of the best peer's", _real(name, "rate", max), at_least=0.97)
        for name in REAL
        if name != "real-streams"
    ),
    *(Target(f"{name}: p99, of the best peer's", _real(name, "p99_ms", min), at_most=1.1) for name in REAL),
    Target("streams-many: CPU in us an event, green", _of("streams-many", "cpu_us", GREEN), at_most=20),
    Target("streams-many: KB a stream, green", _of("streams-many", "kb", GREEN), at_most=24),
    Target(
        "streams-many: events, of those due, green", _of("streams-many", "delivered", GREEN), at_least=0.99
    ),
    Target("streams-many: lost or cut off, green", _of("streams-many", "errors", GREEN), at_most=0),
    Target("real-streams: CPU in us an event, threads", _of("real-streams", "cpu_us", THREADS), at_most=50),
    Target(
        "real-sleepers: requests/s, threads, of the best peer's",
        _to_best_of("real-sleepers", "rate", THREADS),
        at_least=0.9,
    ),
    Target(
        "real-sleepers: requests/s, green, of the best peer's",
        _to_best_of("real-sleepers", "rate", GREEN),
        at_least=1,
    ),
    Target("real-sleepers: CPU in us, green", _of("real-sleepers", "cpu_us", GREEN), at_most=36),
)
"""Of what is measured by --real alone."""


def verdicts(results: Results) -> list[str]:
    """The closing lines of a report."""
    targets = REAL_TARGETS if set(results.samples) & set(REAL) else TARGETS
    measured = list(filter(None, (target.verdict(results) for target in targets)))
    lines = [*measured, f"      not measured: {len(targets) - len(measured)} of {len(targets)} targets"]
    cost = results.median("access-log", OURS, "cost_us")
    if cost is not None:
        lines.append(f"      access log on: {cost:.2f} us of CPU per request")
    return lines
