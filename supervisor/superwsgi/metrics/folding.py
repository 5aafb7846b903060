"""Folding: the numbers of processes that have ended become those of one file of each kind, so that neither
the folder nor the time of a scrape grows with the number of workers that there ever were. What a gauge has
said of a process that is gone goes with it, except where the application wants it added up over all (`sum`,
`min`, `max`, `mostrecent`).

A lock on the folder (flock(2)) keeps readers and who folds apart. Who folds may be killed at any moment. So
the sums are written beside the old ones first; then a journal that says what they are made of, which is the
moment when they count; then everything is put in its place, by the next one if need be. A reader that finds a
journal reads as if that had been done: nothing is lost, and nothing counted twice.

An application that adds up the files itself takes no lock: in the moment of putting in place it may count
twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Final

import msgspec
from msgspec import Meta, Struct

from superwsgi import unpatched
from superwsgi.metrics.files import (
    FOLDED,
    IMPORTING,
    Corrupt,
    Number,
    Numbers,
    NumbersFile,
    encode,
    find,
    plain_file,
    process_id,
    read,
)

_JOURNAL: Final = "journal"
_DRAFT: Final = ".new"
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST: Final = 512 << 20
"""Bytes of files that are read at once, most of which are blank: 1,300 workers with six kinds of metrics."""

_LONGEST: Final = 1 << 20
"""Bytes of a journal."""

_PAUSE: Final = 0.005

_Combine = Callable[[Number, Number], Number]


def add(one: Number, other: Number) -> Number:
    return Number(one.value + other.value, 0.0)


_FOLDS: Final[dict[str, _Combine]] = {
    "counter": add,
    "histogram": add,
    "summary": add,
    "gauge_sum": add,
    "gauge_min": lambda one, other: other if other.value < one.value else one,
    "gauge_max": lambda one, other: other if other.value > one.value else one,
    "gauge_mostrecent": lambda one, other: other if other.timestamp > one.timestamp else one,
}
"""How two numbers of one key become one. Of other gauges only those of living processes count."""


_Name = Annotated[str, Meta(pattern=r"^[^/\x00]+\Z")]
"""What can be a file of the folder: the application may have written the journal."""


class _Journal(Struct):
    """`drafts` are names of files to be put in place, `gone` those whose numbers are in them, by inode."""

    drafts: list[_Name]
    gone: dict[_Name, int]


def fold(folder: str, has_ended: Callable[[int], bool], patience: float = 0.0) -> list[str]:
    """Fold the files of processes of which `has_ended` is true, unless somebody reads for more than
    `patience` seconds: then it is left to the next one. Returns why files were given up. Raises OSError."""
    with opened(folder) as fd:
        if not _lock(fd, fcntl.LOCK_EX, patience):
            return []
        _put_in_place(fd)
        names = _names(fd)
        gone = [file for file in find(names) if file.pid is not None and has_ended(file.pid)]
        molds = [
            each for each in _importing(names) if (pid := process_id(each)) is not None and has_ended(pid)
        ]
        return _fold(fd, gone, molds) if gone or molds else []


def view(folder: int, patience: float) -> Iterator[tuple[NumbersFile, Numbers | None]]:
    """All files of an open folder with their numbers, None for one that cannot be read. Raises TimeoutError
    if they are being folded for more than `patience` seconds, OSError."""
    if not _lock(folder, fcntl.LOCK_SH, patience):
        raise TimeoutError
    try:
        yield from _seen(folder, _names(folder))
    finally:
        fcntl.flock(folder, fcntl.LOCK_UN)


def combine(kind: str, into: Numbers, more: Numbers) -> None:
    """Fold numbers of this kind into others."""
    for key, number in more.items():
        before = into.get(key)
        into[key] = number if before is None else combined(kind, before, number)


def combined(kind: str, one: Number, other: Number) -> Number:
    """Two numbers of one series, as one; the later one, of a kind that is not folded."""
    return _FOLDS[kind](one, other) if kind in _FOLDS else other


@contextlib.contextmanager
def opened(folder: str) -> Iterator[int]:
    """Raises OSError."""
    fd = os.open(folder, _FOLDER)
    try:
        yield fd
    finally:
        unpatched.close(fd)


def _lock(folder: int, how: int, patience: float) -> bool:
    end = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(folder, how | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= end:
                return False
            unpatched.sleep(_PAUSE)


# Reading.


def _seen(folder: int, names: list[str]) -> Iterator[tuple[NumbersFile, Numbers | None]]:
    instead, gone = _under_way(folder, names)
    left, importing = _MOST, _importing(names)
    for file in find(sorted({*names, *instead} - gone)):
        if file.owner in importing:
            continue
        name = instead.get(file.name, file.name)
        left -= _size(folder, name)
        yield file, _numbers(name, folder) if left >= 0 else None


def _importing(names: Iterable[str]) -> set[str]:
    """Whose files do not count."""
    return {name.removeprefix(IMPORTING) for name in names if name.startswith(IMPORTING)}


def _under_way(folder: int, names: Iterable[str]) -> tuple[dict[str, str], set[str]]:
    """What a journal says: which drafts stand for which files, and what is in them already."""
    journal = _journal(folder) if _JOURNAL in names else None
    if journal is None:
        return {}, set()
    drafts = {name.removesuffix(_DRAFT): name for name in journal.drafts if name in names}
    return drafts, {name for name, inode in journal.gone.items() if _inode(folder, name) == inode}


def _numbers(name: str, folder: int) -> Numbers | None:
    try:
        return read(name, folder)
    except (OSError, Corrupt):
        return None


def _names(folder: int) -> list[str]:
    with os.scandir(folder) as entries:
        return [entry.name for entry in entries]


# Folding, while nobody reads.


def _fold(folder: int, gone: list[NumbersFile], molds: list[str]) -> list[str]:
    """`molds` are owners of files that do not count."""
    complaints = []
    by_kind: defaultdict[str, list[str]] = defaultdict(list)
    for file in gone:
        if file.owner not in molds:
            by_kind[file.kind].append(file.name)
    drafts = []
    for kind in by_kind.keys() & _FOLDS.keys():
        target = f"{kind}_{FOLDED}.db"
        sums: Numbers = {}
        for name in (target, *by_kind[kind]):
            try:
                combine(kind, sums, read(name, folder))
            except FileNotFoundError:
                pass  # nothing was folded yet
            except (OSError, Corrupt) as error:
                complaints.append(f"{name}: {error}")
        _write(folder, target + _DRAFT, encode(sums))
        drafts.append(target + _DRAFT)
    names = [*(file.name for file in gone), *(IMPORTING + owner for owner in molds)]
    journal = _Journal(drafts, {name: _inode(folder, name) for name in names})
    _write(folder, _JOURNAL + _DRAFT, msgspec.json.encode(journal))
    os.rename(_JOURNAL + _DRAFT, _JOURNAL, src_dir_fd=folder, dst_dir_fd=folder)
    _put_in_place(folder)
    return complaints


def _put_in_place(folder: int) -> None:
    """Do what a journal says, if there is one: as often as it takes."""
    journal = _journal(folder)
    if journal is not None:
        for draft in journal.drafts:
            with contextlib.suppress(FileNotFoundError):
                os.rename(draft, draft.removesuffix(_DRAFT), src_dir_fd=folder, dst_dir_fd=folder)
        for name, inode in journal.gone.items():
            if _inode(folder, name) == inode:
                os.unlink(name, dir_fd=folder)
    with contextlib.suppress(FileNotFoundError):
        os.unlink(_JOURNAL, dir_fd=folder)


def _journal(folder: int) -> _Journal | None:
    try:
        with plain_file(_JOURNAL, folder, _LONGEST) as (file, size):
            return msgspec.json.decode(file.read(size), type=_Journal)
    except (OSError, Corrupt, msgspec.MsgspecError, RecursionError):
        return None


def _size(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_size
    except OSError:
        return 0


def _inode(folder: int, name: str) -> int:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False).st_ino
    except OSError:
        return 0


def _write(folder: int, name: str, data: bytes) -> None:
    with open(os.open(name, _WRITE, 0o666, dir_fd=folder), "wb") as file:
        file.write(data)
