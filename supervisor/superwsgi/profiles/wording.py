"""What a profile says of itself, in words."""

from __future__ import annotations

from collections.abc import Iterator

from superwsgi.control import Profile
from superwsgi.log.spelling import duration
from superwsgi.profiles.summing import Error


def said_of(error: Error, profile: Profile) -> Iterator[str]:
    """How far to believe it."""
    if not error.taken:
        return
    late = f"{duration(error.late)} late on average, {duration(error.latest)} at worst"
    yield f"{error.taken} of {error.due} samples, {late}; {error.share:.1%} of a CPU"
    if error.latest >= 0.1:
        yield (
            "late samples: C code held the interpreter meanwhile; that time is given to where each thread "
            "was found then"
        )
    if error.taken < 0.8 * error.due:
        yield (
            "samples left out: the last one came late, or more would have cost too much; each of the others "
            "counts for more time"
        )
