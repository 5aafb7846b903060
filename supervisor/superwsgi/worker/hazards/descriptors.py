"""Descriptors that an import has opened: each is a hazard, unless its kind is in the table of harmless ones.

A child's descriptor is the parent's (fork(2)): one offset of a file, one queue of bytes, one lock for all.
"""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from typing import Any, Final

from superwsgi.worker.hazards import finding, memory, sockets
from superwsgi.worker.hazards.finding import Hazard
from superwsgi.worker.hazards.objects import Objects, loop_descriptors
from superwsgi.worker.hazards.places import shown
from superwsgi.worker.hazards.reading import Open, all_open

_SQLITE: Final = b"SQLite format 3\0"
_BESIDE_SQLITE: Final = ("-wal", "-shm", "-journal")
_SHARED_MEMORY: Final = ("/dev/shm/", "/memfd:")

_KINDS: Final = {
    "eventpoll": "an event loop (epoll)",
    "inotify": "watched files (inotify)",
    "io_uring": "an event loop (io_uring)",
    "pidfd": "a process handle (pidfd)",
    "signalfd": "a signal queue (signalfd)",
    "timerfd": "a timer (timerfd)",
}
"""What the kernel calls an anonymous inode, in words."""

_EMPTY_DEVICES: Final = {os.makedev(1, minor) for minor in (3, 5, 7)}
"""/dev/null, zero and full: Linux's Documentation/admin-guide/devices.txt."""

_RANDOM_DEVICES: Final = {os.makedev(1, minor) for minor in (8, 9)}


def find(before: Iterable[Open], renewed: Set[int]) -> Iterator[Hazard]:
    """Hazards among descriptors that were not open before, are not duplicates of any that were, and are none
    of those that a worker has `renewed`."""
    opened = [each for each in _opened_since(before) if each.fd not in renewed]
    if not opened:
        return
    around = _Around(opened)
    around.objects.flush(each.fd for each in opened if _appends(each, around))
    found = [each for each in opened if each.locked or not any(is_so(each, around) for is_so in _HARMLESS)]
    for loop in around.objects.loops:
        yield _say_loop(loop)
    of_loops = {fd for loop in around.objects.loops for fd in loop_descriptors(loop)}
    yield from map(_say, _each_once(each for each in found if each.fd not in of_loops))


def _opened_since(before: Iterable[Open]) -> list[Open]:
    """Files that were open before are recognized by their place, because their offsets may have moved."""
    places = {each.place for each in before}
    now = all_open()
    known = {each.identity for each in before if not each.is_file}
    known |= {each.identity for each in now if each.place in places}
    return [each for each in now if each.identity not in known]


class _Around:
    """What a descriptor alone does not show."""

    def __init__(self, opened: Iterable[Open]) -> None:
        self.objects = Objects()
        self.mapped = Counter(each.path for each in memory.mapped())
        self.unheld = Counter(each.target for each in opened if each.position and not self.is_held(each))
        shareable = (each for each in opened if each.fd in self.objects.shareable)
        self.shareable = {each.target for each in shareable}

    def is_held(self, each: Open) -> bool:
        """Whether a Python file object has it, which continues from the offset."""
        return each.fd in self.objects.files


# The harmless kinds.


def _names_a_place(each: Open, _: _Around) -> bool:
    return bool(each.flags & os.O_PATH)


def _is_folder(each: Open, _: _Around) -> bool:
    return stat.S_ISDIR(each.stat.st_mode) and each.position == 0


def _is_empty_device(each: Open, _: _Around) -> bool:
    return stat.S_ISCHR(each.stat.st_mode) and each.stat.st_rdev in _EMPTY_DEVICES


def _is_random(each: Open, around: _Around) -> bool:
    is_device = stat.S_ISCHR(each.stat.st_mode) and each.stat.st_rdev in _RANDOM_DEVICES
    return is_device and each.fd not in around.objects.buffered


def _appends(each: Open, _: _Around) -> bool:
    return each.is_file and each.flags & (os.O_ACCMODE | os.O_APPEND) == os.O_WRONLY | os.O_APPEND


def _is_mapped(each: Open, around: _Around) -> bool:
    """mmap keeps a duplicate of the descriptor that it was given, with whatever offset that has."""
    mappings = around.mapped[each.target]
    if not (each.is_file and each.only_reads and mappings and not each.is_deleted):
        return False
    is_duplicate = not around.is_held(each) and around.unheld[each.target] <= mappings
    return (each.position == 0 or is_duplicate) and os.pread(each.fd, len(_SQLITE), 0) != _SQLITE


def _is_shareable(each: Open, around: _Around) -> bool:
    is_duplicate = each.target in around.shareable and not around.is_held(each)
    return each.fd in around.objects.shareable or is_duplicate


def _only_sends(each: Open, around: _Around) -> bool:
    if not stat.S_ISSOCK(each.stat.st_mode):
        return False
    is_sender = each.fd in around.objects.senders and sockets.is_datagram(each.fd)
    return is_sender or sockets.receives_nothing(each.fd)


_HARMLESS: Final[tuple[Callable[[Open, _Around], bool], ...]] = (
    _names_a_place,  # O_PATH: cannot be read or written, and has no offset
    _is_folder,  # and nothing of it has been read: it is where paths start (openat(2))
    _is_empty_device,  # gives everybody the same, and keeps nothing
    _is_random,  # gives each reader something else, unless Python read ahead: then all forks have a copy
    _appends,  # each write(2) goes to the end as a whole, whatever the offset: log files
    _is_mapped,  # read from memory, not at the offset; except by SQLite, which also locks it
    _is_shareable,  # its library is known to cope with sharing
    _only_sends,  # messages arrive whole from any sender, and there is no answer that another could take
)
"""Each with the reason. A lock (flock(2), fcntl(2)) makes any of them a hazard."""


# In words.


def _each_once(found: Iterable[Open]) -> Iterator[Open]:
    """Each file by one of its descriptors, an SQLite database without its companion files."""
    files: dict[str, Open] = {}
    for each in found:
        if each.is_file:
            files.setdefault(each.target, each)
        else:
            yield each
    yield from (each for each in files.values() if not _is_beside(each.target, files))


def _is_beside(target: str, files: Iterable[str]) -> bool:
    return any(target == file + suffix for file in files for suffix in _BESIDE_SQLITE)


def _say_loop(loop: Any) -> Hazard:
    keys = [key for fd in loop_descriptors(loop)[:1] for key in finding.descriptor(fd)]
    return Hazard(f"{'a running' if loop.is_running() else 'an open'} event loop of asyncio", tuple(keys))


def _say(each: Open) -> Hazard:
    keys: tuple[finding.Key, ...] = finding.descriptor(each.fd)
    if each.locked:
        return Hazard(f"{finding.A_LOCK} {shown(each.path)}", (finding.lock(each.fd), *keys), fd=each.fd)
    if not each.is_file:
        return Hazard(_describe(each), keys[:1], fd=each.fd)
    if each.path.startswith(_SHARED_MEMORY):
        return Hazard(f"memory shared between processes ({each.path})", keys, fd=each.fd)
    if each.is_deleted:
        return Hazard(f"a temporary file ({each.path})", keys, fd=each.fd)
    return Hazard(f"the file {shown(each.path)}", keys, "opened", each.fd, otherwise=" left open")


def _describe(each: Open) -> str:
    mode = each.stat.st_mode
    if stat.S_ISSOCK(mode):
        return sockets.describe(each.fd)
    if stat.S_ISFIFO(mode):
        return "a pipe" if each.target.startswith("pipe:") else f"a named pipe ({shown(each.path)})"
    if stat.S_ISDIR(mode):
        return f"a folder that is being read ({shown(each.path)})"
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        return f"an open device ({each.path})"
    return _KINDS.get(each.kind, f"a descriptor ({each.kind or each.target})")
