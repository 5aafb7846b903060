"""What companions look like from outside: the memory of each with all that it has started, and whether a
signal has stopped it. The limits and the patience are those of workers.
"""

from __future__ import annotations

from typing import Final

from superwsgi.master.companions import kin
from superwsgi.master.companions.companion import Companion, CompanionProcess
from superwsgi.master.companions.companions import Companions
from superwsgi.master.context import MasterContext
from superwsgi.master.policy.actions import KillWorker
from superwsgi.master.policy.health import CompanionSigns
from superwsgi.master.policy.limits import stopped
from superwsgi.master.processes.usage import memory_used, switches_when_stopped
from superwsgi.snapshot import CompanionStatus

_LOOK: Final = 1.0
"""Seconds between two looks."""


class CompanionWatch:
    """`companions` are looked at from `begin` on."""

    def __init__(self, context: MasterContext, companions: Companions) -> None:
        self._loop = context.loop
        self._errors = context.errors
        self._companions = companions

    def begin(self, now: float) -> None:
        self._loop.call_at(now + _LOOK, self.begin)
        for companion in self._companions:
            if companion.process is not None and companion.pid is not None:
                self._look_at(companion, companion.process, now)

    def _look_at(self, companion: Companion, process: CompanionProcess, now: float) -> None:
        companion.seen(now, switches_when_stopped(process.pid))
        if companion.recovers(now):
            log = self._errors.bind(**companion.who())
            log.info("companion recovered", gen=process.generation, reason=companion.trouble, next="it runs")
        if process.stopped_at is not None and stopped.is_lost(process.stopped_at, now):
            self._kill(companion, process, stopped.spell(process.stopped_at, now))
        elif process.limits:
            self._judge_memory(companion, process)

    def _judge_memory(self, companion: Companion, process: CompanionProcess) -> None:
        used = memory_of(process)
        verdict = None if used is None else process.limits.decide(0, 0, used)
        if isinstance(verdict, KillWorker):
            self._kill(companion, process, verdict.reason)
        elif verdict is not None and not process.due and not process.told:
            process.due, process.ails = verdict.reason, True
            log = self._errors.bind(**companion.who())
            companion.incident = log.warning(
                "companion to be exchanged", reason=verdict.reason, next="told to end, and started again"
            )

    def _kill(self, companion: Companion, process: CompanionProcess, reason: str) -> None:
        process.ails = True
        self._companions.kill(companion, reason)

    def signs(self, now: float) -> list[CompanionSigns]:
        """Of those that are to run."""
        return [
            CompanionSigns(each.label, each.pid is not None, each.trouble if each.fails(now) else "")
            for each in self._companions
            if each.wanted
        ]

    def status(self, now: float) -> list[CompanionStatus]:
        """Of each, as it is now."""
        return [each.status(now, _resident(each)) for each in self._companions]


def memory_of(process: CompanionProcess) -> int | None:
    """Bytes, by the measure of its limits, of a process and all below it: what they share counts for each of
    them, except as pss. None once it is gone."""
    each = [memory_used(pid, process.limits.measure) for pid in kin.below(process.pid)]
    return None if each[0] is None else sum(used for used in each if used is not None)


def _resident(companion: Companion) -> int | None:
    if companion.pid is None:
        return None
    return sum(memory_used(pid, "rss") or 0 for pid in kin.below(companion.pid))
