"""What follows from a worker's memory use. Pure numbers: psutil is asked elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from superwsgi.log.spelling import size
from superwsgi.master.policy.actions import KillWorker, RecycleWorker
from superwsgi.master.policy.causes import Cause


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """Limits in bytes on what psutil calls `measure`; None for no limit."""

    soft: int | None
    hard: int | None
    measure: Literal["rss", "pss", "uss"] = "rss"

    def __bool__(self) -> bool:
        return self.soft is not None or self.hard is not None

    def decide(
        self, generation: int, worker: int, used: int, why: str = ""
    ) -> RecycleWorker | KillWorker | None:
        """What to do with a worker that uses `used` bytes; `why` it has grown, if that is known."""
        if self.hard is not None and used > self.hard:
            reason = self._spell("hard", used, self.hard, why)
            return KillWorker(generation, worker, reason, Cause.MEMORY_HARD)
        if self.soft is not None and used > self.soft:
            reason = self._spell("soft", used, self.soft, why)
            return RecycleWorker(generation, worker, reason, Cause.MEMORY_SOFT)
        return None

    @property
    def first(self) -> int | None:
        """The limit that it will reach first."""
        return self.hard if self.soft is None else self.soft

    def _spell(self, name: str, used: int, limit: int, why: str) -> str:
        """Such as `memory.soft: rss 612M over 600M, grown 1.4M a request by GET /report since 14:02`."""
        over = f"memory.{name}: {self.measure} {size(used)} over {size(limit)}"
        return f"{over}, {why}" if why else over


def in_bytes(limit: int | float | None, total: int) -> int | None:
    """A limit of the site file (an int is bytes, a float is a share of `total` bytes) in bytes."""
    return int(limit * total) if isinstance(limit, float) else limit
