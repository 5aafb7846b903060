"""prometheus_client's files of numbers in multiprocess mode: for each process one of each kind of metric,
which it maps into its memory and so leaves behind however it ends.

`counter_812.db`: how many bytes are used (int32), four bytes of nothing, then entry after entry: the length
of the key (int32), the key, blanks up to the next multiple of eight, value and timestamp (doubles). A key is
JSON: family, name, labels, help. Applications may have written anything there: nothing that is not a plain
file is opened, and none beyond a size.
"""

from __future__ import annotations

import contextlib
import os
import re
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final, NamedTuple

from superwsgi import unpatched

VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"
SPELLINGS: Final = (VARIABLE, VARIABLE.lower())
"""Where prometheus_client finds its folder; the second is what it was once called."""

FOLDED: Final = "folded"
"""In the place of a process id: the numbers of many that have ended."""

IMPORTING: Final = "importing_"
"""A file called so, with a process id, says that the files of that process do not count: it is a mold, and
what its import has counted is counted again by each of its workers."""

_NAME: Final = re.compile(r"(counter|histogram|summary|gauge_[a-z]+)_([^/]+)\.db")
_PROCESS: Final = re.compile("[1-9][0-9]{0,6}")
"""There are none above 4194304: proc_sys_kernel(5). kill(2) takes no larger one than 2^31."""

_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_LARGEST: Final = 64 << 20
"""Bytes: some 500,000 series of one process."""

_AT_ONCE: Final = 4096
"""Bytes: files are larger than what they have to say."""

_LENGTH: Final = struct.Struct("i")
_ENTRY: Final = struct.Struct("dd")
_BEGIN: Final = 8

Numbers = dict[str, "Number"]
"""By key."""


class Number(NamedTuple):
    """`timestamp` in seconds since 1970, where one was given."""

    value: float
    timestamp: float


class Corrupt(Exception):
    """What is in a file is not what prometheus_client writes."""


@dataclass(frozen=True, slots=True)
class NumbersFile:
    """A file of this `name`: the `kind` of its metrics, with that of a gauge, and whose they are: a process
    id, or what the application has put in its place."""

    name: str
    kind: str
    owner: str

    @property
    def pid(self) -> int | None:
        return process_id(self.owner)


def process_id(owner: str) -> int | None:
    """None for what cannot be one: applications choose names as they like."""
    return int(owner) if _PROCESS.fullmatch(owner) else None


def find(names: Iterable[str]) -> Iterator[NumbersFile]:
    """Those among the names of a folder's files."""
    for name in names:
        match = _NAME.fullmatch(name)
        if match is not None:
            yield NumbersFile(name, match[1], match[2])


def read(name: str, folder: int) -> Numbers:
    """The numbers in a file of an open folder. Raises OSError, Corrupt."""
    with plain_file(name, folder, _LARGEST) as (file, size):
        data = file.read(_AT_ONCE)
        (used,) = _LENGTH.unpack_from(data) if len(data) >= _LENGTH.size else (0,)
        return decode(data + file.read(max(0, min(used, size) - len(data))))


@contextlib.contextmanager
def plain_file(name: str, folder: int, most: int) -> Iterator[tuple[BinaryIO, int]]:
    """A file of an open folder, of at most so many bytes, and how many it has. Raises OSError, Corrupt."""
    fd = os.open(name, _FLAGS, dir_fd=folder)
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most:
            raise Corrupt(f"{name} is no plain file, or too large")
        with open(fd, "rb", closefd=False) as file:
            yield file, status.st_size
    finally:
        unpatched.close(fd)


def decode(data: bytes) -> Numbers:
    """The numbers in a file's bytes. Raises Corrupt. An empty file is of a process that ended too soon."""
    if not data:
        return {}
    try:
        (used,) = _LENGTH.unpack_from(data)
        if used < 0:
            raise Corrupt("its length is less than nothing")
        return dict(_entries(data, used))
    except (struct.error, UnicodeDecodeError) as error:
        raise Corrupt(str(error)) from None


def encode(numbers: Mapping[str, Number]) -> bytes:
    """A file with these numbers."""
    entries = b"".join(_encoded(key, number) for key, number in numbers.items())
    return _LENGTH.pack(_BEGIN + len(entries)) + bytes(4) + entries


def _entries(data: bytes, used: int) -> Iterator[tuple[str, Number]]:
    at = _BEGIN
    while at < used:
        (length,) = _LENGTH.unpack_from(data, at)
        if length < 0 or at + length > used:
            raise Corrupt("a key ends beyond the file")
        key = data[at + 4 : at + 4 + length].decode()
        at += 4 + length + _blanks(length)
        yield key, Number(*_ENTRY.unpack_from(data, at))
        at += _ENTRY.size


def _encoded(key: str, number: Number) -> bytes:
    raw = key.encode()
    return _LENGTH.pack(len(raw)) + raw + b" " * _blanks(len(raw)) + _ENTRY.pack(*number)


def _blanks(length: int) -> int:
    """At least one, as prometheus_client writes it."""
    return 8 - (length + 4) % 8
