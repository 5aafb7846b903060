"""How long to wait before a worker that died early is replaced. Pure numbers, no clock."""

from __future__ import annotations

from typing import Final

EARLY: Final = 5.0
"""Seconds of service below which a death counts as early."""

FREE: Final = 5
"""Early deaths in a row that are replaced at once."""

FIRST: Final = 0.1
LONGEST: Final = 30.0

FORGET: Final = 60.0
"""Seconds without an early death after which the row is over."""


def delay(streak: int) -> float:
    """Seconds to wait before the next fork after `streak` early deaths in a row.

    Two goals pull apart. A worker that somebody killed, or four that a passing fault took down together,
    should be back before a client notices, so the first few are replaced at once (as systemd's
    StartLimitBurst has it). An application that dies right after each start must not turn the machine
    into a fork bomb: a supervisor without a back-off made 149 forks in 8 seconds of one. From there on
    the wait doubles from a tenth of a second to half a minute, where a mended deploy still comes up soon.
    """
    return 0.0 if streak <= FREE else min(FIRST * 2.0 ** (streak - FREE - 1), LONGEST)


def streak(before: int, *, served: float | None, since_last: float | None) -> int:
    """The row's length after one more death, given how long the worker served (None: it never did)
    and how long ago the last early death was, both in seconds."""
    if served is not None and served >= EARLY:
        return 0
    if since_last is not None and since_last >= FORGET:
        return 1
    return before + 1


def crash_loop(streak: int) -> bool:
    """Whether the row is long enough to be called a crash loop."""
    return streak > FREE
