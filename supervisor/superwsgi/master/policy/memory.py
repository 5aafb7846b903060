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

    def decide(self, generation: int, worker: int, used: int) -> RecycleWorker | KillWorker | None:
        """What to do with a worker that uses `used` bytes."""
        if self.hard is not None and used > self.hard:
            return KillWorker(generation, worker, self._spell("hard", used, self.hard), Cause.MEMORY_HARD)
        if self.soft is not None and used > self.soft:
            return RecycleWorker(generation, worker, self._spell("soft", used, self.soft), Cause.MEMORY_SOFT)
        return None

    def _spell(self, name: str, used: int, limit: int) -> str:
        """Such as `memory.soft: rss 612M over 600M`."""
        return f"memory.{name}: {self.measure} {size(used)} over {size(limit)}"


def in_bytes(limit: int | float | None, total: int) -> int | None:
    """A limit of the site file (an int is bytes, a float is a share of `total` bytes) in bytes."""
    return int(limit * total) if isinstance(limit, float) else limit
