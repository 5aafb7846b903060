"""The hottest functions of a profile as text for a terminal: for each group of requests a table, in which the
last column says the line.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Final

from superwsgi.control import Profile
from superwsgi.log.spelling import duration, printable
from superwsgi.profiles.summing import Stacks, function_of, sampled, summed
from superwsgi.profiles.wording import notes
from superwsgi.samples import Frame

MOST_GROUPS: Final = 5
MOST_ROWS: Final = 8

_LEAST: Final = 0.01
"""The share of a group's time below which a function is not worth a row."""

_WIDTH: Final = 80
_NAME: Final = 26
_PLACE: Final = _WIDTH - _NAME - 20

_INSTALLED: Final = re.compile(r"/(site|dist)-packages/|/python3\.\d+/|^<|^$")
"""Files of libraries, on whichever machine. What is left is the application's own."""


class _Function:
    def __init__(self, frame: Frame) -> None:
        self.frame = frame
        self.own = self.total = 0.0
        self.lines: dict[int, float] = defaultdict(float)

    @property
    def line(self) -> int:
        return max(self.lines, key=lambda line: self.lines[line])


def spell(profile: Profile) -> Iterator[str]:
    """Its lines, of 80 characters at most but for long notes."""
    parts = sampled(profile)
    stacks = summed(parts)
    if not stacks:
        yield _nothing(profile) if parts else "no worker could be profiled"
    groups: dict[str, Stacks] = defaultdict(dict)
    for frames, seconds in stacks.items():
        groups[frames[0].function][frames[1:]] = seconds
    everything = sum(stacks.values())
    hottest = sorted(groups.items(), key=lambda item: -sum(item[1].values()))
    for name, below in hottest[:MOST_GROUPS]:
        yield from _group(name, below, everything)
    if len(hottest) > MOST_GROUPS:
        rest = sum(sum(below.values()) for _, below in hottest[MOST_GROUPS:])
        yield f"{len(hottest) - MOST_GROUPS} more groups of requests, {rest / everything:.1%} of the time"
        yield ""
    yield from notes(profile)


def _nothing(profile: Profile) -> str:
    which = f" for {printable(profile.path)}" if profile.path is not None else ""
    did = "computed" if profile.cpu else "was in the application"
    return f"no request{which} {did} within {duration(profile.seconds)}"


def _group(name: str, stacks: Stacks, everything: float) -> Iterator[str]:
    whole = sum(stacks.values())
    share = f"{whole / everything:.1%} of the time in requests, {duration(whole)}"
    yield f"{_cut(printable(name), _WIDTH - len(share) - 2)}  {share}"
    yield f"{'self':>8}{'total':>8}  {'function':{_NAME}}  line"
    for each in _worth_telling(list(_functions(stacks)), whole):
        own, total = each.own / whole, each.total / whole
        yield f"{own:8.1%}{total:8.1%}  {_cut(printable(each.frame.function), _NAME):{_NAME}}  {_place(each)}"
    yield ""


def _functions(stacks: Stacks) -> Iterator[_Function]:
    """All of them; one that calls itself has its time once."""
    found: dict[Frame, _Function] = {}
    for frames, seconds in stacks.items():
        lines = {function_of(frame): frame.line for frame in frames}  # the innermost one of each
        for function, line in lines.items():
            each = found.setdefault(function, _Function(function))
            each.total += seconds
            each.lines[line] += seconds
        found[function_of(frames[-1])].own += seconds
    yield from found.values()


def _worth_telling(functions: list[_Function], whole: float) -> list[_Function]:
    """Those that take the time themselves, and those of the application that lead there; these first."""
    hot = sorted((each for each in functions if each.own >= _LEAST * whole), key=lambda each: -each.own)
    chosen = hot[: MOST_ROWS // 2]
    leading = [each for each in functions if each.total >= _LEAST * whole and each not in chosen]
    own = [each for each in leading if not _INSTALLED.search(each.frame.file)]
    chosen += sorted(own, key=lambda each: -each.total)[: MOST_ROWS // 2]
    return sorted(chosen, key=lambda each: (-each.total, each.own))


def _place(function: _Function) -> str:
    """`…/shop/views.py:71`: the end of a path says the most."""
    if not function.frame.file:
        return ""
    place = printable(f"{function.frame.file}:{function.line}")
    return place if len(place) <= _PLACE else "…" + place[1 - _PLACE :]


def _cut(text: str, room: int) -> str:
    return text if len(text) <= room else text[: max(0, room - 1)] + "…"
