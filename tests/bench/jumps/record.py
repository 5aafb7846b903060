"""Which files of superwsgi a process calls into and returns to, in order.

By sys.setprofile, so it sees plain Python and no compiled code: run it from a checkout without compiled
modules. Everything else (the standard library, an application) leaves no trace of its own.
"""

from __future__ import annotations

import sys
import threading
from itertools import groupby
from pathlib import Path
from types import FrameType
from typing import Any

import superwsgi

ROOT = str(Path(superwsgi.__file__).parent) + "/"


class Recorder:
    """Steps in the order in which they were taken, by whichever thread: files below superwsgi/, and marks."""

    def __init__(self) -> None:
        self._steps: list[tuple[int, str]] = []  # thread, file or mark

    def start(self) -> None:
        """Record this thread, and all that are started from now on."""
        threading.setprofile(self._on_event)
        sys.setprofile(self._on_event)

    def mark(self, name: str) -> None:
        self._steps.append((threading.get_ident(), f"#{name}"))

    def steps(self) -> list[tuple[int, str]]:
        return list(self._steps)

    def _on_event(self, frame: FrameType, event: str, argument: Any) -> None:
        if event in ("call", "return"):
            # A return leads to the caller, which may be in another file.
            shown = frame if event == "call" else frame.f_back
            if shown is not None and shown.f_code.co_filename.startswith(ROOT):
                self._steps.append((threading.get_ident(), shown.f_code.co_filename.removeprefix(ROOT)))
        elif event == "c_call" and getattr(argument, "__name__", "") == "poll":
            self.mark("poll")


def visited(files: list[str]) -> list[str]:
    """The files as a reader opens them: the same one twice in a row is once."""
    return [file for file, _ in groupby(files)]


def report(title: str, files: list[str]) -> str:
    """What a story comes to: its files in order of their first use, and both counts."""
    seen = visited(files)
    names = list(dict.fromkeys(seen))
    lines = [f"{title}: {len(names)} files, {len(seen) - 1} changes of file"]
    return "\n".join([*lines, *(f"  {seen.count(name):3}  {name}" for name in names)])
