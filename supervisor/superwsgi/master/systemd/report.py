"""What systemd learns about the site, and when: readiness, reloads, a status line, signs of life.

`spell` and `phase` decide, Report sends. Nothing here affects the site.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from superwsgi.config.schema import Site
from superwsgi.master.companions.companions import Companions
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.generations import Generations
from superwsgi.master.generations.record import Record
from superwsgi.master.policy.health import Condition, Health, spell_health, spell_workers
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.listener import Listener
from superwsgi.master.systemd.notify import Notifier, UnitPhase

INTERVAL: Final = 1.0
"""Seconds between two looks at the site's health, if nothing happens, and between two requests for more time
during a reload."""

_MARGIN: Final = 5.0
"""Seconds that a start or stop may take beyond the site's deadlines, and a reload beyond the next look."""


@dataclass(frozen=True, slots=True)
class Summary:
    """What the status line says: `present` workers exist, and so many `companions`; `trouble` is why the last
    generation failed, the first one or that of a reload."""

    phase: UnitPhase
    present: int
    generation: int | None
    condition: Condition
    trouble: str = ""
    companions: int = 0


def spell(summary: Summary) -> str:
    """`healthy, 4 of 4 workers, generation 7, 812 req/s`, and the reasons where it is not."""
    if summary.phase is UnitPhase.STOPPING:
        return _farewell(summary)
    health, signs = summary.condition.health, summary.condition.signs
    workers = spell_workers(signs.serving, signs.wanted, signs.bounds, pinned=signs.pinned)
    parts = [spell_health(health.value, signs.phase), workers]
    parts += [f"generation {summary.generation}"] if summary.generation is not None else []
    parts += [f"{signs.lately.rate:.0f} req/s"]
    if signs.companions:
        running = sum(each.runs for each in signs.companions)
        parts += [f"{running} of {len(signs.companions)} companions"]
    line = ", ".join(parts)
    return line if health is Health.HEALTHY else f"{line}: {'; '.join(summary.condition.reasons)}"


def _farewell(summary: Summary) -> str:
    """Such as `stopping, 2 workers left`; `systemctl status` keeps showing the last one."""
    if summary.generation is None and summary.trouble:
        return f"did not start: {summary.trouble}"
    for present, name in ((summary.present, "worker"), (summary.companions, "companion")):
        if present:
            return f"stopping, {present} {name}{'s' if present != 1 else ''} left"
    return "stopped"


def phase(generations: Generations, *, stopping: bool) -> UnitPhase:
    if stopping:
        return UnitPhase.STOPPING
    if generations.current is None:
        return UnitPhase.STARTING
    settled = generations.candidate is None and not generations.is_between()
    return UnitPhase.RUNNING if settled else UnitPhase.RELOADING


class Report:
    """The master's reports on its generations; `judge` says how they are at a time. They cost nothing if
    nobody listens."""

    def __init__(
        self,
        notifier: Notifier,
        generations: Generations,
        record: Record,
        loop: EventLoop,
        judge: Callable[[float], Condition],
        companions: Companions,
    ) -> None:
        self._notifier = notifier
        self._generations = generations
        self._record = record
        self._loop = loop
        self._judge = judge
        self._companions = companions
        self._judged: tuple[object, Condition] | None = None  # and what was known of the processes then
        self._stored: dict[str, Listener] = {}
        self._attempt = 0

    @property
    def listeners_stored(self) -> bool:
        """Whether systemd keeps our sockets for the next start."""
        return bool(self._stored)

    def starts(self, now: float, site: Site) -> None:
        """The first generation is being loaded; the command that runs before gets as much time."""
        if self._notifier:
            boot = site.timeouts.boot * (1 if site.rollout.before is None else 2)
            self._notifier.takes(boot + _MARGIN)
            self._look(now)
        if self._notifier.watchdog is not None:
            self._feed_watchdog(now)

    def update(self, now: float, *, stopping: bool) -> None:
        """After every turn of the loop: report what has changed."""
        if not self._notifier:
            return
        now_in = phase(self._generations, stopping=stopping)
        self._say_begun(now_in)
        self._notifier.status(spell(self._summary(now_in, now)))
        self._notifier.phase(now_in)
        if not stopping:
            self._store_listeners()

    def _say_begun(self, now_in: UnitPhase) -> None:
        """Also report a reload that was refused before its generation began: systemd waits for its end."""
        newest = self._record.newest
        if newest != self._attempt and now_in in (UnitPhase.RUNNING, UnitPhase.RELOADING):
            self._notifier.phase(UnitPhase.RELOADING)
        self._attempt = newest

    def stops(self) -> None:
        """Draining begins: it may take as long as the site file says."""
        timeouts = [generation.site.timeouts for generation in self._generations]
        longest = max((each.lame_duck + each.graceful for each in timeouts), default=0.0)
        self._notifier.takes(longest + self._companions.longest + _MARGIN)

    def _store_listeners(self) -> None:
        """Keep the sockets of the generations that serve over a restart, and no others."""
        if self._generations.current is None or self._generations.candidate is not None:
            return
        ours = [each for each in self._generations.current.listeners if each.is_ours()]
        wanted = {sockets.stored_name(listener.address): listener for listener in ours}
        for name in [name for name, listener in self._stored.items() if wanted.get(name) != listener]:
            self._notifier.forget(name)
            del self._stored[name]
        for name in wanted.keys() - self._stored:
            self._notifier.keep(name, wanted[name].sock.fileno())
        self._stored = wanted

    def _feed_watchdog(self, now: float) -> None:
        """Only from the loop's own turn. Also while there is no worker: a restart would not mend what keeps
        them from starting, and cost the clients that wait for it."""
        assert self._notifier.watchdog is not None
        self._loop.call_at(now + self._notifier.watchdog, self._feed_watchdog)
        self._notifier.alive()

    def _summary(self, now_in: UnitPhase, now: float) -> Summary:
        current = self._generations.current
        return Summary(
            phase=now_in,
            present=sum(len(generation.workers) for generation in self._generations),
            generation=current.number if current is not None else None,
            condition=self._condition(now_in, now),
            trouble=self._record.trouble,
            companions=sum(companion.lives for companion in self._companions),
        )

    def _condition(self, now_in: UnitPhase, now: float) -> Condition:
        """As it was at the last look, unless a process or the phase has changed since."""
        workers = [(worker.key, worker.state) for _, worker in self._generations.living()]
        known = now_in, workers, self._record.trouble
        if self._judged is None or self._judged[0] != known:
            self._judged = known, self._judge(now)
        return self._judged[1]

    def _look(self, now: float) -> None:
        self._loop.call_at(now + INTERVAL, self._look)
        self._judged = None
        if self._generations.candidate is not None and self._generations.current is not None:
            self._notifier.takes(INTERVAL + _MARGIN)  # it ends by the site file's deadlines, not the unit's
