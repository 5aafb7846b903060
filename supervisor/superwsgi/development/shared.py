"""What `superwsgi dev` and the processes of the site that it runs tell each other: files in a private folder,
which an environment variable of the site names. Imported on both sides; it knows neither of them.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

_Told = TypeVar("_Told", bound=Struct)


class Settings(Struct, frozen=True, kw_only=True):
    """For the process that loads the application: the site's `apps`; whether the browser may have a
    `debugger`, and the terminal has `colours`; whether an `older` version serves, and need not say what is
    wrong with this one; whether to `load` it at all, or only say what is wrong."""

    apps: dict[str, str]
    debugger: bool
    colours: bool
    older: bool = False
    load: bool = True


class Breakage(Struct, frozen=True, kw_only=True):
    """Code that does not run: one line of `reason`, and a traceback or other text of several lines. `at` is
    wall time in ns, by which it is told from the next."""

    reason: str
    detail: str = ""
    at: int

    @classmethod
    def now(cls, reason: str, detail: str = "") -> Breakage:
        return cls(reason=reason, detail=detail, at=time.time_ns())


class Newest(Struct, frozen=True, kw_only=True):
    """A worker's process id, and since when it serves, in ns of wall time."""

    pid: int
    at: int


def write(folder: Path, name: str, told: Struct) -> None:
    """At once for whoever reads it. Raises OSError."""
    aside = folder / f"{name}.{os.getpid()}"
    aside.write_bytes(msgspec.json.encode(told))
    aside.replace(folder / name)


def read(folder: Path, name: str, kind: type[_Told]) -> _Told | None:
    """None where it has not been written, or the folder is gone."""
    try:
        content = (folder / name).read_bytes()
    except OSError:
        return None
    return msgspec.json.decode(content, type=kind)
