"""Profiles in the formats of other programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Final

from superwsgi.control import Profile
from superwsgi.profiles.flame_graph import flame_graph
from superwsgi.profiles.summing import by_function, label, sampled, summed
from superwsgi.samples import Frame

_SPEEDSCOPE: Final = "https://www.speedscope.app/file-format-schema.json"


def collapsed(profile: Profile) -> str:
    """A line a stack: frames with `;` between them, outermost first, and microseconds: what flamegraph.pl and
    its like read (https://github.com/brendangregg/FlameGraph)."""
    stacks = by_function(summed(sampled(profile)))
    lines = (f"{';'.join(map(_word, frames))} {round(seconds * 1e6)}\n" for frames, seconds in stacks.items())
    return "".join(lines)


def _word(frame: Frame) -> str:
    """In one line, without what separates frames."""
    return "".join(char if char.isprintable() else "?" for char in label(frame)).replace(";", ":")


def speedscope(profile: Profile) -> str:
    """JSON for https://www.speedscope.app, which keeps it in the browser; with the line of each call."""
    stacks = summed(sampled(profile))
    numbers = {frame: at for at, frame in enumerate(dict.fromkeys(each for key in stacks for each in key))}
    total = sum(stacks.values())
    return json.dumps(
        {
            "$schema": _SPEEDSCOPE,
            "exporter": "superwsgi",
            "name": title(profile),
            "activeProfileIndex": 0,
            "shared": {"frames": [_shared(frame) for frame in numbers]},
            "profiles": [
                {
                    "type": "sampled",
                    "name": title(profile),
                    "unit": "seconds",
                    "startValue": 0,
                    "endValue": total,
                    "samples": [[numbers[frame] for frame in frames] for frames in stacks],
                    "weights": [*stacks.values()],
                }
            ],
        }
    )


def _shared(frame: Frame) -> dict[str, str | int]:
    if not frame.file:
        return {"name": frame.function}
    return {"name": frame.function, "file": frame.file, "line": frame.line or frame.defined}


def html(profile: Profile) -> str:
    """A page with a flame graph, which loads nothing else."""
    return flame_graph(profile, title(profile))


def title(profile: Profile) -> str:
    """`shop: 10s of wall time in requests for /report, worker 2`."""
    what = "CPU time" if profile.cpu else "wall time"
    path = f" for {profile.path}" if profile.path is not None else ""
    worker = f", worker {profile.of}" if profile.of is not None else ""
    return f"{profile.site}: {profile.seconds:g}s of {what} in requests{path}{worker}"


FORMATS: Final[dict[str, Callable[[Profile], str]]] = {
    "html": html,
    "speedscope": speedscope,
    "collapsed": collapsed,
}

ENDINGS: Final = {
    ".html": "html", ".htm": "html", ".json": "speedscope", ".txt": "collapsed", ".collapsed": "collapsed",
    ".folded": "collapsed",
}  # fmt: skip
"""The format of a file by how its name ends."""
