"""prometheus_client in multiprocess mode: one file of numbers per process, so one per worker.

A mold that has imported the application has such files too. They are turned into what they would be if each
worker had imported it: the mold has none, and each worker has a file that begins with the numbers from the
import. Left alone, the library starts a new file once it notices a new process id: that would count the mold
as a process of its own and start the workers from zero, with an `info` of 0 and a minimum that nobody set.

Where the folder is that of the site (`metrics.app`), whoever boots folds what the dead have left, which may
be files with its own process id. In a folder that the application has named itself, nothing is done to the
files of others: they may be of processes that we know nothing of.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any, Final

from superwsgi.config.schema import Site
from superwsgi.log.error import ErrorLog
from superwsgi.metrics.files import IMPORTING, SPELLINGS, VARIABLE, find
from superwsgi.metrics.folding import fold
from superwsgi.system.procfs import exists
from superwsgi.worker.hazards.objects import alive

_FILE: Final = "prometheus_client.mmap_dict.MmapedDict"
_VALUE: Final = "prometheus_client.values.MultiProcessValue.<locals>.MmapedValue"

_PATIENCE: Final = 0.2
"""Seconds, for a scrape that reads."""

_files: Final[list[Any]] = []
_values: Final[list[Any]] = []
"""The mold's values, which its workers inherit."""


def begin(site: Site, errors: ErrorLog, *, importing: bool = False) -> None:
    """In a process that is to have files of its own, before it has; `importing` in a mold's stead."""
    if not site.metrics.app:
        return
    try:
        reasons = fold(site.env[VARIABLE], _has_ended, _PATIENCE)
        if importing:
            _mark(site).touch()
    except OSError as error:
        reasons = [f"{error.filename or site.env[VARIABLE]}: {error.strerror}"]
    for reason in reasons:
        errors.warning("metrics lost", reason=reason, next="what that process has counted is not in /metrics")


def count(site: Site) -> None:
    """In a mold that has become a worker, or has no files any more: what its files say counts."""
    if site.metrics.app:
        with contextlib.suppress(OSError):
            _mark(site).unlink()


def _mark(site: Site) -> Path:
    return Path(site.env[VARIABLE], f"{IMPORTING}{os.getpid()}")


def tell_if_unused(site: Site, errors: ErrorLog) -> None:
    """Once the application is loaded."""
    if site.metrics.app and "prometheus_client" not in sys.modules:
        reason = "the application has not imported prometheus_client; is it installed?"
        errors.notice(
            "no application metrics", reason=reason, next="/metrics has only the server's until then"
        )


def leave_nothing() -> None:
    """In a process that ends and has never been a worker."""
    if "prometheus_client" not in sys.modules:
        return
    for folder in {os.environ[name] for name in SPELLINGS if name in os.environ}:
        with contextlib.suppress(OSError):
            _remove_own(Path(folder))


def _remove_own(folder: Path) -> None:
    """Raises OSError."""
    for file in find([each.name for each in folder.iterdir()]):
        if file.pid == os.getpid():
            (folder / file.name).unlink()


def _has_ended(pid: int) -> bool:
    """True of our own number, which somebody else had before; not of one that was given away again."""
    return pid == os.getpid() or not exists(pid)


def remove_files() -> None:
    """In the mold: remove its files from the folder whose files are added up."""
    if "prometheus_client.mmap_dict" not in sys.modules:
        return
    found = alive({_FILE, _VALUE})
    _values.extend(found[_VALUE])
    for each in found[_FILE]:
        with contextlib.suppress(OSError, AttributeError):  # gone, or a version with other internals
            if each._fname.endswith(_suffix()):
                Path(each._fname).unlink()
                _files.append(each)


def make_files() -> None:
    """In a worker: give it files of its own. The library opens them when it sees the new process id."""
    for each in _files:
        with contextlib.suppress(OSError, AttributeError, TypeError):
            _write(Path(each._fname.rpartition("_")[0] + _suffix()), bytes(each._m))
    for value in _values:
        with contextlib.suppress(Exception):
            value.get()
    _files.clear()
    _values.clear()


def _suffix() -> str:
    return f"_{os.getpid()}.db"


def _write(path: Path, numbers: bytes) -> None:
    """Write in one step, because somebody may be adding up right now. An existing file stays: it is from an
    earlier process with the same id, and the library continues it."""
    draft = path.with_suffix(".new")
    draft.write_bytes(numbers)
    try:
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
    finally:
        draft.unlink()
