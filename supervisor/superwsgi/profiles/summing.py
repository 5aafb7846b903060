"""Profiles of several workers, summed. Seconds are those of threads: two requests at a time take two seconds
a second.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from superwsgi.control import Profile
from superwsgi.samples import Frame, Sampled

Stacks = dict[tuple[Frame, ...], float]
"""Seconds by frames, outermost first; the first one is a group of requests, as `GET /report/*`."""


def sampled(profile: Profile) -> list[Sampled]:
    """What those workers have found that have found something."""
    return [each.sampled for each in profile.workers if each.sampled is not None]


def summed(parts: Iterable[Sampled]) -> Stacks:
    """By lines: one function is several frames if it has been at several lines. Sorted, so that stacks with
    the same callers are neighbours. Without those that took no time, as only a forged one does."""
    sums: dict[tuple[Frame, ...], float] = defaultdict(float)
    for part in parts:
        for stack in part.stacks:
            frames = Frame(part.groups[stack.group]), *(part.frames[each] for each in stack.frames)
            if stack.seconds:
                sums[frames] += stack.seconds
    return dict(sorted(sums.items(), key=lambda item: [_rank(frame) for frame in item[0]]))


def by_function(stacks: Stacks) -> Stacks:
    """The same without lines."""
    sums: dict[tuple[Frame, ...], float] = defaultdict(float)
    for frames, seconds in stacks.items():
        sums[tuple(function_of(frame) for frame in frames)] += seconds
    return dict(sums)


def function_of(frame: Frame) -> Frame:
    return Frame(frame.function, frame.file, frame.defined)


def _rank(frame: Frame) -> tuple[str, str, int, int]:
    return frame.function, frame.file, frame.defined, frame.line


def label(frame: Frame, line: int | None = None) -> str:
    """`report (/srv/shop/views.py:31)`, with that line, or the one of its `def`."""
    return f"{frame.function} ({frame.file}:{line or frame.defined})" if frame.file else frame.function
