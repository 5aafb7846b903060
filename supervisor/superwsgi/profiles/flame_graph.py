"""A flame graph: one HTML file that needs no network.

Written here: the page of pyinstrument, the library that comes closest, has a tree of calls and a timeline of
one thread, puts names into its script as they are, and comes with an extension module for the application's
environment.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any, Final

from superwsgi.control import Profile
from superwsgi.profiles.summing import Stacks, function_of, label, sampled, summed
from superwsgi.profiles.wording import notes
from superwsgi.samples import Frame

_PAGE: Final = files("superwsgi.profiles").joinpath("flame_graph.html").read_text("utf-8")
"""Read at the import: the admin process may not be allowed to, later."""


def flame_graph(profile: Profile, title: str) -> str:
    """`title` is its first line; that of its window, too."""
    data = {"title": title, "notes": [*notes(profile)], "root": tree(summed(sampled(profile)))}
    return _PAGE.replace("/*data*/", _in_script(data), 1)


def tree(stacks: Stacks) -> dict[str, Any]:
    """Nodes: `n` its name with the line where it spent most, `v` its seconds, `l` the three lines that took
    most, `c` the nodes below it."""
    root = _Node(Frame("all requests"))
    for frames, seconds in stacks.items():
        node = root
        node.seconds += seconds
        for frame in frames:
            node = node.below(frame)
            node.seconds += seconds
            node.lines[frame.line] = node.lines.get(frame.line, 0.0) + seconds
    return root.told()


class _Node:
    def __init__(self, function: Frame) -> None:
        self.function = function
        self.seconds = 0.0
        self.lines: dict[int, float] = {}
        self.nodes: dict[Frame, _Node] = {}

    def below(self, frame: Frame) -> _Node:
        key = function_of(frame)
        if key not in self.nodes:
            self.nodes[key] = _Node(key)
        return self.nodes[key]

    def told(self) -> dict[str, Any]:
        lines = sorted(self.lines.items(), key=lambda item: -item[1])
        told: dict[str, Any] = {"n": label(self.function), "v": round(self.seconds, 6)}
        if lines and lines[0][0]:
            told["n"] = label(self.function, lines[0][0])
            told["l"] = [[line, round(seconds, 6)] for line, seconds in lines[:3]]
        if self.nodes:
            told["c"] = [node.told() for node in self.nodes.values()]
        return told


def _in_script(data: dict[str, Any]) -> str:
    """As JavaScript inside of <script>, which no text in it can end: its names are the application's."""
    return json.dumps(data).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
