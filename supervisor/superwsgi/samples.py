"""What a worker has found out by sampling: which stacks its requests were at, and for how long.

A worker writes one Sampled into a pipe of the master's, which passes it on to who has asked (control.py). All
texts may be the application's, and are cut; numbers are bounded, so that sums of them stay numbers.
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta, Struct

OTHER: Final = "(other)"
"""The group of requests, or the place in a stack, for which there was no room."""

SERVER: Final = "(server)"
"""Where a request is that the application has not begun, or has ended already."""

DEEPER: Final = "(deeper)"
"""In the stead of frames of a very deep stack."""

SECONDS: Final = (1.0, 300.0)
RATE: Final = (1.0, 1000.0)
"""The least and the most: how long, and how many times a second."""

SHOWN: Final = 128
"""Frames of a stack that are told, one half of them innermost: who draws them goes as deep."""

LONGEST_NAME: Final = 200
LONGEST_FILE: Final = 400

_Number = Annotated[int, Meta(ge=0, lt=1 << 31)]
_Seconds = Annotated[float, Meta(ge=0, le=1e9)]


class Frame(Struct, frozen=True, array_like=True):
    """A place in code: the function, its file and the line of its `def`, and the `line` that runs or has made
    the next call."""

    function: Annotated[str, Meta(max_length=LONGEST_NAME)]
    file: Annotated[str, Meta(max_length=LONGEST_FILE)] = ""
    defined: _Number = 0
    line: _Number = 0


class Stack(Struct, frozen=True, array_like=True):
    """Requests of a group were for `seconds` at these frames, outermost first, and were seen there so many
    `times`. Group and frames are numbers in Sampled."""

    group: _Number
    frames: Annotated[list[_Number], Meta(min_length=1, max_length=SHOWN)]
    seconds: _Seconds
    times: _Number


class Sampled(Struct, frozen=True):
    """The stacks of one worker within `seconds`. `groups` are methods and groups of paths.

    Its own error: of the samples that were `due`, `taken` were; on average they were `late` seconds late, at
    most `latest`. `spent` are the CPU seconds that sampling took, `cut` says why it ended too soon.
    """

    groups: list[Annotated[str, Meta(max_length=LONGEST_FILE)]]
    frames: list[Frame]
    stacks: list[Stack]
    seconds: _Seconds
    due: _Number
    taken: _Number
    late: _Seconds
    latest: _Seconds
    spent: _Seconds
    cut: Annotated[str, Meta(max_length=LONGEST_NAME)] = ""


def is_consistent(sampled: Sampled) -> bool:
    """Whether all numbers of groups and frames are there: it may be forged."""
    groups, frames = len(sampled.groups), len(sampled.frames)
    return all(each.group < groups and max(each.frames, default=-1) < frames for each in sampled.stacks)
