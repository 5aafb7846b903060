"""One admin process, and how much of what it says is believed: no more than our own code would say, for each
word costs the master time, and a request some milliseconds. Whoever says more is no admin process of ours.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from superwsgi.channel import Channel, Forged
from superwsgi.log.rate_limit import TokenBucket
from superwsgi.master.processes import hearing
from superwsgi.master.processes.hearing import Said
from superwsgi.messages import Connect, WentWrong, Word

WORDS: Final = 400
"""At once; in each second after that, a quarter, as below. A master that was held up finds many."""

CONNECTS: Final = 160
"""Wishes for a connection among them. Its own bound is a quarter of that (asking.py)."""


@dataclass(eq=False, slots=True)
class AdminHandle:
    """Times in monotonic seconds. `asked_to_go`: its end is meant; `killed`: why it had to be."""

    pid: int
    channel: Channel | None  # None: an earlier program of the master has started it
    began: float
    heard_at: float
    words: TokenBucket = field(default_factory=lambda: TokenBucket(WORDS))
    connects: TokenBucket = field(default_factory=lambda: TokenBucket(CONNECTS))
    reports: TokenBucket = field(default_factory=TokenBucket)
    said: Said = Said.NOTHING
    asked_to_go: bool = False
    killed: str = ""

    def hear(self, word: Word, sender: int, now: float) -> None:
        """Its next word. Raises Forged."""
        self.said = hearing.after(hearing.ADMIN, self.said, word, sender=sender, of=self.pid)
        self.heard_at = now
        self._count(self.words, "words", now)
        if isinstance(word, Connect):
            self._count(self.connects, "requests", now)
        elif isinstance(word, WentWrong):
            self._count(self.reports, "incidents", now)

    def _count(self, bucket: TokenBucket, what: str, now: float) -> None:
        """Raises Forged."""
        if not bucket.take(int(now * 1e9)):
            raise Forged(f"more {what} than our code would send", self.pid)
