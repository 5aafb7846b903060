"""X-Request-Start: when a proxy in front got the request, by its own clock.

Each spells it in its own way: nginx `t=1512379167.574` (`$msec`, seconds), Apache `t=1512379167574000` (`%t`,
microseconds), Heroku `1512379167574` (milliseconds), all with or without `t=`. As New Relic's agents do, take
the unit from the size of the number: what is a moment of these years in one is none in another.

Clocks of two machines differ, and steps of one go either way. So what lies in the future, or longer ago than
any proxy waits, is taken for what it is, nonsense, and nothing but a figure depends on the rest: whoever is
refused is refused by our own clock.
"""

from __future__ import annotations

import re
from typing import Final

SECOND: Final = 1_000_000_000

ANCIENT: Final = 600 * SECOND
"""No proxy keeps a request for longer, in ns: nginx gives up after 60 seconds, Heroku's router after 30."""

_MOMENT: Final = re.compile(r"(?:t=)?([0-9]{10,19})(?:\.([0-9]{1,9})[0-9]*)?")
_UNITS: Final = ((17, 1), (14, 1_000), (11, 1_000_000), (0, SECOND))
"""From how many digits on a number is in units of so many ns."""


def ago(said: str, now: int) -> int:
    """How many ns before `now`, in ns since 1970, the moment was that a proxy has `said`; 0 if that says
    nothing."""
    match = _MOMENT.fullmatch(said)
    if match is None:
        return 0
    whole, fraction = match.group(1), match.group(2) or ""
    unit = next(unit for digits, unit in _UNITS if len(whole) > digits)
    moment = int(whole) * unit + int(fraction.ljust(9, "0")) * unit // SECOND
    passed = now - moment
    return passed if 0 < passed <= ANCIENT else 0
