"""Which waiting requests are refused, so that the others are answered in time: `limits.queue_age`.

A burst is what a queue is for: it comes, and is worked off. A *standing* queue only makes everybody late.
What tells them apart is not how long the queue is, but how long the quickest in a while has waited (Nichols
and Jacobson, "Controlling Queue Delay"; RFC 8289 section 3): a line stands once no request that was taken
from it in a whole window had waited less than the limit. The window is as long as the limit, so what is
worked off within twice the limit refuses nobody.

While a line stands, a request is refused that would have to wait longer than the limit, by the pace at which
others have lately been taken; on its arrival, where it shows then. So those that are served have waited about
as long as the limit, and those that are refused know at once. One of them always stays, however late: no
thread is idle for want of a request. It is over when for a whole window nobody had to be refused.

A line is a kind of request where kinds pass each other (`queue: fair`), so that a slow page is shed, and
quick ones, which pass it, are not. With `fifo` all that wait are one. What waits because of a limit of its
own, and not for a thread, says nothing about the worker, and is excused.

That no thread may be started either goes without saying: a request waits only where `Pool.permit` starts
none. Of further workers the master tells. Times are monotonic ns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from superwsgi.worker.connection.alarm import NEVER, SECOND

LONGEST_ADVICE: Final = 60
"""Seconds in Retry-After, at most: by then nobody knows what the load will be."""

_TURNS: Final = 4
_LEAST: Final = 32
"""The pace is an average over so many turns of all threads, or over so many requests: threads that began
together end together, so that the time between two requests is none, none, none, and then a long one."""


class ShedRule:
    """`age` is how long a request may wait, and the window, `weight` over how many the pace is taken.
    `workers_may_grow`: then nobody is refused."""

    __slots__ = ("age", "weight", "workers_may_grow")

    def __init__(self, age: int, threads: int) -> None:
        self.age = age
        self.weight = max(_LEAST, _TURNS * threads)
        self.workers_may_grow = False


class WaitingLine:
    """Those that wait for the same: how many, how fast they are taken, and since when all of them are
    late."""

    __slots__ = ("_interval", "_longest", "_moved", "_takes", "late_since", "refused", "sheds", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.late_since = NEVER  # when the first was late, if none has been in time since
        self.sheds = False
        self.refused = 0  # when somebody was, or would have been, the last time
        self._interval = 0  # between two that are taken, on average
        self._longest = 0  # of these lately
        self._moved = 0  # the latest, or when the first came to an empty line
        self._takes = 0

    def join(self, now: int) -> None:
        if not self.waiting:
            self._moved = now
        self.waiting += 1

    def leave(self) -> None:
        """Without being run."""
        self.waiting -= 1

    def take(self, rule: ShedRule, now: int) -> None:
        """One of them is run."""
        self.waiting -= 1
        self._takes = min(self._takes + 1, rule.weight)
        gap = now - self._moved
        self._moved = now
        self._interval += (gap - self._interval) // self._takes
        self._longest = max(gap, self._longest - self._longest // rule.weight)

    def judge(self, late: bool, now: int) -> None:
        """One was taken that had waited too long, or the first in line has: or else one in time."""
        if not late:
            self.late_since = NEVER
        elif self.late_since == NEVER:
            self.late_since = now

    def refuse(self, now: int) -> None:
        self.refused = now

    def stands(self, rule: ShedRule, now: int) -> bool:
        """Whether those that would be late are refused now."""
        if rule.workers_may_grow:
            self.sheds = False
        elif self.sheds:
            self.sheds = now - self.refused < rule.age
        if not self.sheds and not rule.workers_may_grow and self.late_since <= now - rule.age:
            self.sheds, self.refused = True, now
        return self.sheds

    def wait(self, now: int, ahead: int) -> int:
        """How long a newcomer has to, behind so many. If none has been taken for longer than usual, nobody
        knows when the next one is, and as long as it has taken already is a fair guess."""
        standing = now - self._moved
        return ahead * self._interval + (standing if standing > self._longest else 0)

    def advice(self, now: int) -> int:
        """Retry-After for one that is refused, in seconds: when those in line should be through."""
        seconds = -(-self.wait(now, self.waiting) // SECOND)
        return max(1, min(seconds, LONGEST_ADVICE))

    def kept(self, waits: Sequence[int], rule: ShedRule, now: int) -> list[bool]:
        """Which of those in line, by how long they have waited, the first one first, will be in time if the
        others are refused; if none will, the last one stays."""
        stay, ahead = [], 0
        for waited in waits:
            in_time = waited + self.wait(now, ahead) <= rule.age
            ahead += in_time
            stay.append(in_time)
        if stay and not ahead:
            stay[-1] = True
        return stay
