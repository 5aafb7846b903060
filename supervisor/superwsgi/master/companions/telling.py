"""What is said of a companion's end: how, why, and what it has left behind."""

from __future__ import annotations

import signal
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Final

from superwsgi.log.rate_limit import Repeats
from superwsgi.log.spelling import duration, ending
from superwsgi.master.companions.companion import Companion, CompanionProcess
from superwsgi.master.policy.death import EARLY, crash_loop
from superwsgi.master.processes.program import ExitCode

_OUT_OF_MEMORY: Final = "memory ran out, and the kernel killed it"
_BACKGROUND: Final = (
    "it has put itself into the background, where nobody looks after it: have it stay in front"
)
_DONE: Final = "it has ended by itself, and a companion is to go on"


@dataclass(frozen=True, slots=True)
class End:
    """Of a process that ran for `served` seconds; `left` is what it had started and runs still."""

    process: CompanionProcess
    code: ExitCode
    served: float
    left: tuple[int, ...] = ()
    memory_ran_out: bool = False

    @property
    def asked(self) -> bool:
        """Whether it was told to end, or had to be killed."""
        return bool(self.process.told or self.process.killed)

    @property
    def is_expected(self) -> bool:
        """Whether nothing is wrong: also if it ends by itself, as after so many tasks, but not at once."""
        return self.asked or (self.code == 0 and self.served >= EARLY and not self.left)

    @property
    def how(self) -> str:
        """`exit code 1`, and why, as far as its end says so."""
        reason = self._reason()
        return f"{ending(self.code)}: {reason}" if reason else ending(self.code)

    @property
    def cause(self) -> str:
        """For those who ask later."""
        asked = self.process.killed or self.process.told
        return f"{ending(self.code)}: {asked}" if asked else self.how

    def fields(self) -> dict[str, object]:
        return dict(self._fields())

    def _fields(self) -> Iterator[tuple[str, object]]:
        yield "how", ending(self.code)
        reason = self.process.killed or self.process.told or self._reason()
        if reason:
            yield "reason", reason
        yield "after", duration(self.served)
        if self.left:
            yield "left", f"{len(self.left)} process{'es' * (len(self.left) > 1)}, ended too"

    def _reason(self) -> str:
        if self.code == -signal.SIGKILL:
            return _OUT_OF_MEMORY if self.memory_ran_out else "not by the master"
        if self.code == 0 and self.left:
            return _BACKGROUND
        return _DONE if self.code == 0 and self.served < EARLY else ""


class Repetitions:
    """A crash loop may go on for days, and is told as a worker's is: a few times, then every ten minutes."""

    def __init__(self) -> None:
        self._repeats = Repeats()

    def level(
        self, companion: Companion, generation: int, level: str, what: Hashable, now: float
    ) -> tuple[str, dict[str, int]]:
        """At which level to say what is wrong with one, and a field for how often it was not said. Its next
        start is said if this is."""
        more = dict[str, int]()
        said = level
        if crash_loop(companion.crashes.early):
            key = companion.label, generation, what
            said, more = self._repeats.told(level, key, int(now * 1e9))
        companion.hushed = said != level
        return said, more
