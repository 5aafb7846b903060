"""A file of `static`, prepared: its fields, and its content where that is small, while it is what it was.

What is kept is an answer that was right once: these bytes, with this ETag, were in the folder by this name.
It is given again only while the file by that name is the same one, unchanged (its inode, and the time of its
last change, which nobody can set). A file that was changed a moment ago is not kept: it could change again
without that showing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Final

from superwsgi import unpatched
from superwsgi.files import place
from superwsgi.files.answering import Fields
from superwsgi.files.asked import encodings
from superwsgi.files.asked.conditions import Validators, tag_by_time
from superwsgi.files.asked.encodings import SUFFIXES
from superwsgi.files.place import Missing, OpenFile, Unsendable

SMALL: Final = 64 << 10
"""Smaller files are sent in one call with their head, larger ones by sendfile(2)."""

SETTLED: Final = 2 * 10**9
"""After so many ns a further change has another time: file systems' clocks tick each 4 ms, some each 2 s."""

LOOKED: Final = 5 * 10**9
"""For so many ns it is believed that no compressed file has come."""

_EXACT: Final = 10**6
"""WhiteNoise's own program sets the time of a compressed file by a float: that is so many ns at most."""

_CHOICES: Final = 16
_USUAL: Final = 64
"""How many values of Accept-Encoding, and how long ones, a file's choices are remembered for: browsers have a
handful of short ones, and whoever makes up others must not fill the memory."""

FieldsOf = Callable[[str], Fields]


class Representation:
    """One file. `body`: its content if that is small, `whole` the same as WSGI has it; `rested`: for so many
    ns it had not changed."""

    __slots__ = (
        "_changed", "_device", "_inode", "_length", "body", "fields", "modified", "path", "rested", "size",
        "validators", "whole",
    )  # fmt: skip

    def __init__(self, file: OpenFile, path: bytes, coding: str, fields: Fields) -> None:
        status, body = file.status, None
        if status.st_size < SMALL:
            body = _content(file.fd)
            if body is None:  # it has grown
                status = os.fstat(file.fd)
        self.path = path
        self._device = status.st_dev
        self._inode = status.st_ino
        self._changed = status.st_ctime_ns
        self._length = status.st_size
        self.modified = status.st_mtime_ns
        self.rested = time.time_ns() - max(self._changed, self.modified)
        self.body: bytes | None = body
        self.size = status.st_size if body is None else len(body)
        self.whole: list[bytes] = [] if body is None else [body]
        date = formatdate(max(0, self.modified // 10**9), usegmt=True)
        self.validators = Validators(_tag(status, self.body, coding), date)
        self.fields: Fields = [*fields, *self._own_fields(coding)]

    def _own_fields(self, coding: str) -> Fields:
        encoding = [("Content-Encoding", coding)] if coding else []
        return [
            *encoding,
            ("Content-Length", str(self.size)),
            ("Accept-Ranges", "bytes"),
            ("ETag", self.validators.tag),
            ("Last-Modified", self.validators.date),
        ]

    def is_current(self) -> bool:
        """Whether the file by that name is still the same, and unchanged."""
        try:
            return self.is_that(os.stat(self.path))
        except OSError:
            return False

    def is_that(self, status: os.stat_result) -> bool:
        return bool(
            status.st_ctime_ns == self._changed
            and status.st_ino == self._inode
            and status.st_size == self._length
            and status.st_dev == self._device
        )


class Resource:
    """A file with the compressed ones beside it."""

    __slots__ = ("_choices", "_compressed", "_until", "plain")

    def __init__(self, plain: Representation, compressed: dict[str, Representation]) -> None:
        self.plain = plain
        self._compressed = compressed
        self._choices: dict[str, Representation] = {}
        self._until = time.monotonic_ns() + LOOKED

    def choose(self, accepted: str | None) -> Representation:
        """What to send to a client that says this of encodings."""
        if not accepted or not self._compressed:
            return self.plain
        chosen = self._choices.get(accepted)
        if chosen is None:
            sizes = {coding: each.size for coding, each in self._compressed.items()}
            coding = encodings.choose(accepted, sizes, self.plain.size)
            chosen = self._compressed[coding] if coding else self.plain
            if len(accepted) <= _USUAL:
                if len(self._choices) >= _CHOICES:
                    self._choices.clear()  # clients choose the values; those in use soon return
                self._choices[accepted] = chosen
        return chosen

    def is_current(self, chosen: Representation) -> bool:
        """Whether what was chosen may be sent: nothing has changed, nor the file that it is made from."""
        if not chosen.is_current() or time.monotonic_ns() > self._until:
            return False
        return chosen is self.plain or self.plain.is_current()

    @property
    def rested(self) -> int:
        """For so many ns nothing of it had changed."""
        return min(each.rested for each in (self.plain, *self._compressed.values()))

    @property
    def weight(self) -> int:
        """Bytes of memory, about."""
        return 2000 + sum(len(each.body or b"") for each in (self.plain, *self._compressed.values()))


def prepare(folder: bytes, path: bytes, fields_of: FieldsOf) -> Resource:
    """The file at `path`, which begins with `folder`. Raises Missing, Unsendable."""
    fields = fields_of(os.fsdecode(path))
    plain = _represent(folder, path, "", fields)
    compressed = {}
    for coding, suffix in SUFFIXES.items():
        with contextlib.suppress(Missing, Unsendable):
            beside = _represent(folder, path + suffix, coding, fields)
            if beside.modified + _EXACT >= plain.modified or _is_kept_for_ever(fields):
                compressed[coding] = beside
    if compressed:
        for each in (plain, *compressed.values()):
            each.fields.append(("Vary", "Accept-Encoding"))
    return Resource(plain, compressed)


def _represent(folder: bytes, path: bytes, coding: str, fields: Fields) -> Representation:
    file = place.open_file(folder, path, hidden=False)
    try:
        return Representation(file, path, coding, fields)
    finally:
        unpatched.close(file.fd)


def _is_kept_for_ever(fields: Fields) -> bool:
    """Whether its name says what is in it: then a compressed file is of the same, however old it is."""
    return any(value.endswith("immutable") for _, value in fields)


def _content(fd: int) -> bytes | None:
    """All that is in it; None if that is more than is small."""
    data = b""
    while len(data) < SMALL:
        piece = os.pread(fd, SMALL - len(data), len(data))
        if not piece:
            return data
        data += piece
    return None


def _tag(status: os.stat_result, body: bytes | None, coding: str) -> str:
    """An ETag: of the content, or of a large file the time and size. Each coding has its own."""
    if body is None:
        return tag_by_time(status, coding)
    suffix = f"-{coding}" if coding else ""
    return f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}{suffix}"'
