"""What a worker's memory means for it. Pure numbers: psutil is asked elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal

from superwsgi.log.spelling import size


class Verdict(Enum):
    FINE = "fine"
    RECYCLE = "recycle"
    KILL = "kill"


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """In bytes, of what psutil calls `measure`; None where there is no limit."""

    soft: int | None
    hard: int | None
    measure: Literal["rss", "pss", "uss"] = "rss"

    def __bool__(self) -> bool:
        return self.soft is not None or self.hard is not None

    def judge(self, used: int) -> Verdict:
        if self.hard is not None and used > self.hard:
            return Verdict.KILL
        if self.soft is not None and used > self.soft:
            return Verdict.RECYCLE
        return Verdict.FINE

    def spell(self, used: int, verdict: Verdict) -> str:
        """The verdict in words: `memory.soft: rss 612M over 600M`."""
        name, limit = ("hard", self.hard) if verdict is Verdict.KILL else ("soft", self.soft)
        return f"memory.{name}: {self.measure} {size(used)} over {size(limit or 0)}"


def in_bytes(limit: int | float | None, total: int) -> int | None:
    """A limit of the site file (an int is bytes, a float a share of `total` bytes) in bytes."""
    return int(limit * total) if isinstance(limit, float) else limit
