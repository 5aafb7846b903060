"""Counts where requests are, without costing much: a place in a stack is the number of its code object and of
the instruction there; what these are called is looked up once, at the end. Of a call of a function by itself
only the innermost one counts, so that a recursion is one frame.

Memory is bounded: at most some 20 MB. What there is no room for is summed in OTHER.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import CodeType, FrameType
from typing import Any, Final

import msgspec

from superwsgi.log.frames import is_above
from superwsgi.log.spelling import encodable
from superwsgi.samples import DEEPER, LONGEST_FILE, LONGEST_NAME, OTHER, SERVER, SHOWN, Frame, Stack

MOST_GROUPS: Final = 100
MOST_STACKS: Final = 4000
MOST_PLACES: Final = 200_000
"""Of all stacks together."""

DEEPEST: Final = 1000
"""Frames that are walked, innermost first: what a recursion may take by default."""

Place = tuple[int, ...]
"""Numbers of code objects and of instructions in turn, innermost first; nothing for OTHER."""

_OF_A_STACK: Final = 60
_OF_A_FRAME: Final = 6
"""Bytes of JSON: without its frames, and for each."""


class Tally:
    """Of one profile. Used by one thread."""

    def __init__(self) -> None:
        self._codes: dict[int, CodeType] = {}  # kept, so that no other gets the number of one that has gone
        self._found: dict[tuple[str, Place], list[float]] = {}  # seconds, times
        self._groups: set[str] = set()
        self._places = 0

    def place_of(self, frame: FrameType | None) -> Place:
        """Where a thread is whose innermost frame that is."""
        codes, last = self._codes, 0
        place: list[int] = []
        for _ in range(DEEPEST):
            if frame is None:
                return tuple(place)
            code = frame.f_code
            number = id(code)
            if number != last:
                codes[number] = code
                place += (number, frame.f_lasti)
                last = number
            frame = frame.f_back
        return tuple(place)

    def group(self, name: str) -> str:
        """The group to count under: that one, as long as there is room."""
        if name not in self._groups and len(self._groups) >= MOST_GROUPS:
            return OTHER
        self._groups.add(name)
        return name

    def add(self, group: str, place: Place, seconds: float) -> None:
        """A request of the group was there for so long."""
        known = self._found.get((group, place))
        if known is None:
            if len(self._found) >= MOST_STACKS or self._places + len(place) > 2 * MOST_PLACES:
                place = ()
            self._places += len(place)
            known = self._found.setdefault((group, place), [0.0, 0])
        known[0] += seconds
        known[1] += 1

    def told(self, room: int) -> tuple[list[str], list[Frame], list[Stack]]:
        """Groups, frames and stacks, in about `room` bytes of JSON: those that took longest, and what others
        took, together."""
        return _Telling(self._codes, room).tell(self._found)


class _Telling:
    def __init__(self, codes: dict[int, CodeType], room: int) -> None:
        self._codes = codes
        self._room = room
        self._numbers: dict[Any, int] = {}  # of frames, and of groups by name
        self._frames: list[Frame] = []
        self._groups: list[str] = []
        self._known: dict[tuple[int, int], Frame] = {}  # by code and instruction
        self._lines: dict[int, list[tuple[int, int]]] = {}  # of a code: first instruction, line

    def tell(self, found: dict[tuple[str, Place], list[float]]) -> tuple[list[str], list[Frame], list[Stack]]:
        sums: dict[tuple[int, tuple[int, ...]], list[float]] = {}
        for (group, place), (seconds, times) in sorted(found.items(), key=lambda item: -item[1][0]):
            key = self._group(group), self._stack(place)
            total = sums.setdefault(key, [0.0, 0])
            total[0] += seconds
            total[1] += times
        stacks = [
            Stack(group, [*frames], seconds, int(times)) for (group, frames), (seconds, times) in sums.items()
        ]
        return self._groups, self._frames, stacks

    def _group(self, name: str) -> int:
        if name not in self._numbers:
            self._numbers[name] = len(self._groups)
            self._groups.append(encodable(name)[:LONGEST_FILE])
        return self._numbers[name]

    def _stack(self, place: Place) -> tuple[int, ...]:
        """Its frames by number, outermost first; OTHER if there is no room left."""
        frames = [*shortened([*self._named(place)])] if place else [Frame(OTHER)]
        size = _OF_A_STACK + _OF_A_FRAME * len(frames)
        size += sum(len(msgspec.json.encode(each)) for each in frames if each not in self._numbers)
        if size > self._room:
            frames = [Frame(OTHER)]
        else:
            self._room -= size
        return tuple(map(self._number, frames))

    def _number(self, frame: Frame) -> int:
        if frame not in self._numbers:
            self._numbers[frame] = len(self._frames)
            self._frames.append(frame)
        return self._numbers[frame]

    def _named(self, place: Place) -> Iterator[Frame]:
        """Frames from the first of the application on."""
        begun = False
        if len(place) >= 2 * DEEPEST:
            begun = True
            yield Frame(DEEPER)
        for at in range(len(place) - 2, -1, -2):
            code = self._codes[place[at]]
            begun = begun or not is_above(code.co_filename)
            if begun:
                yield self._frame(code, place[at + 1])
        if not begun:
            yield Frame(SERVER)

    def _frame(self, code: CodeType, instruction: int) -> Frame:
        key = id(code), instruction
        if key not in self._known:
            self._known[key] = Frame(
                encodable(_name(code))[-LONGEST_NAME:],
                encodable(code.co_filename)[-LONGEST_FILE:],
                max(0, code.co_firstlineno),
                self._line(code, instruction),
            )
        return self._known[key]

    def _line(self, code: CodeType, instruction: int) -> int:
        if id(code) not in self._lines:
            lines = [(start, line) for start, _, line in code.co_lines() if line is not None]
            self._lines[id(code)] = lines
        before = [line for start, line in self._lines[id(code)] if start <= instruction]
        return max(0, before[-1] if before else code.co_firstlineno)


def shortened(frames: list[Frame]) -> list[Frame]:
    """Without those in the middle, where there are too many."""
    if len(frames) <= SHOWN:
        return frames
    return [*frames[: SHOWN // 2], Frame(DEEPER), *frames[-(SHOWN // 2) + 1 :]]


if sys.version_info >= (3, 11):

    def _name(code: CodeType) -> str:
        return code.co_qualname

else:

    def _name(code: CodeType) -> str:
        return code.co_name
