"""Which answers have a line in the access log, where `log.skip`, `log.sample` and `paths` leave some out.

Only what went well and in time may be left out. Of each path's answers so many in a row have so many lines,
at 10 % one of ten: so a line stands for ten requests, and sums can be scaled. Which one of the ten is drawn:
of clients that ask for ten pages in turn, each tenth would always be the same page. By a hash of a request's
id all machines would agree, but no count would be exact, and who chooses ids would choose what is not logged.

A path is compared as an application sees it, in PATH_INFO: decoded, without the query, and whatever the Host.
One that might mean another page to somebody is never left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from random import Random
from typing import Final
from urllib.parse import unquote_to_bytes

from superwsgi import unpatched

ALL: Final = 1.0

_FINEST: Final = 1_000_000
"""A share is taken as a fraction with at most this denominator."""

_PLAIN: Final = rb"(?:/(?![./])[^/?\\%\x00-\x1f\x7f]*)*"
"""Segments without what reaches a page by a path that seems to be another one: dot segments (RFC 3986 section
5.2.4), hidden files, empty segments, backslashes, what was encoded twice, control characters."""

_NOTHING: Final = rb"(?!)"


class _Quota:
    """The answers of one path: of each `block` of them `lines` have a line, drawn one by one (Knuth, The Art
    of Computer Programming, volume 2, section 3.4.2, algorithm S)."""

    __slots__ = ("_ahead", "_block", "_due", "_lines", "share")

    def __init__(self, share: float) -> None:
        exact = Fraction(share).limit_denominator(_FINEST)
        self.share = share
        self._lines, self._block = exact.numerator, exact.denominator
        self._due = self._ahead = 0  # lines and answers that this block has still to come

    def draws(self, number: float) -> bool:
        """Whether the next answer has a line; `number` is random, from 0 to below 1."""
        if not self._ahead:
            self._due, self._ahead = self._lines, self._block
        drawn = number * self._ahead < self._due
        self._ahead -= 1
        self._due -= drawn
        return drawn


class Sampling:
    """`shares` has the share of each path and what is below it; the longest path wins, and what is below none
    has all lines. What took `slow` ns has one in any case. For one process, made after the fork."""

    def __init__(self, shares: Mapping[str, float], slow: int) -> None:
        self._quotas = {path.rstrip("/").encode(): _Quota(share) for path, share in shares.items()}
        longest_first = sorted(self._quotas, key=len, reverse=True)
        known = b"|".join(map(re.escape, longest_first)) if shares else _NOTHING
        plain = b"(" + known + b")" + _PLAIN
        self._target = re.compile(plain + rb"(?:\?|\Z)")
        self._decoded = re.compile(plain + rb"\Z")
        self._slow = slow
        self._random = Random().random
        self._lock = unpatched.shared_lock()

    def share(self, target: bytes, status: int, took: int) -> float:
        """For an answer that was sent as a whole, `took` ns after its request had arrived: 0 if it is to have
        no line, or else how large a share of its like has one. Any thread."""
        if status >= 400 or took >= self._slow:
            return ALL
        quota = self._quota(target)
        if quota is None:
            return ALL
        return self._share(quota)

    def share_by_rule(self, target: bytes, status: int, took: int, slow: int, logged: bool | None) -> float:
        """The same where a rule in `paths` says from when on it was `slow`, in ns, and whether what went well
        is `logged`; None: as without the rule."""
        if status >= 400 or took >= slow or logged:
            return ALL
        if logged is False:
            return 0.0
        quota = self._quota(target)
        return ALL if quota is None else self._share(quota)

    def _share(self, quota: _Quota) -> float:
        self._lock.acquire()  # a third of what `with` costs
        drawn = quota.draws(self._random())
        self._lock.release()
        return quota.share if drawn else 0.0

    def _quota(self, target: bytes) -> _Quota | None:
        found = self._target.match(target)
        if found is None and b"%" in target:
            found = self._decoded.match(unquote_to_bytes(target.partition(b"?")[0]))
        return None if found is None else self._quotas[found[1]]
