"""What a client has not taken yet, over a real socket."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import tempfile
from pathlib import Path

import pytest

from superwsgi.http.files import Span
from superwsgi.worker.connection import outbox as module
from superwsgi.worker.connection.outbox import MEMORY, SEGMENT, SMALL, Outbox
from superwsgi.worker.connection.storage import Stores


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def stores(spool=1 << 30, memory=1 << 30, on_trouble=lambda error: None):
    return Stores(spool, on_trouble, memory)


def take(outbox, ours, theirs, size):
    """The next `size` bytes, as the client gets them."""
    got = bytearray()
    while len(got) < size:
        outbox.flush(ours)
        got += theirs.recv(min(1 << 20, size - len(got)))
    return bytes(got)


def drain(outbox, ours, theirs) -> bytes:
    got = bytearray()
    while outbox.size:
        outbox.flush(ours)
        got += theirs.recv(1 << 20)
    theirs.setblocking(False)
    try:
        while piece := theirs.recv(1 << 20):
            got += piece
    except BlockingIOError:
        return bytes(got)
    return bytes(got)


def test_parts_arrive_in_order_from_memory_spool_and_file(pair, tmp_path):
    (tmp_path / "file").write_bytes(b"f" * 300_000)
    pieces = [os.urandom(400_000) for _ in range(6)]
    outbox = Outbox(stores())
    outbox.put(b"head")
    for piece in pieces[:3]:
        outbox.put(piece)
    with open(tmp_path / "file", "rb") as file:
        outbox.put_file(Span(file.fileno(), 100_000, 200_000))
    for piece in pieces[3:]:
        outbox.put(piece)
    assert outbox.size == 4 + 6 * 400_000 + 200_000
    whole = b"head" + b"".join(pieces[:3]) + b"f" * 200_000 + b"".join(pieces[3:])
    assert drain(outbox, *pair) == whole
    assert not outbox.size


def test_it_stops_where_the_client_does(pair):
    outbox = Outbox(stores())
    outbox.put(b"x" * (8 << 20))
    while outbox.flush(pair[0]):
        pass
    assert 0 < outbox.size < 8 << 20


def test_one_turn_has_an_end(pair, tmp_path):
    outbox = Outbox(stores())
    outbox.put(b"x" * (module.TURN + 5))
    outbox.flush(pair[0])
    assert outbox.size >= 5


def test_a_file_that_shrank_is_an_error(pair, tmp_path):
    (tmp_path / "file").write_bytes(b"short")
    outbox = Outbox(stores())
    with open(tmp_path / "file", "rb") as file:
        outbox.put_file(Span(file.fileno(), 0, 100))
    with pytest.raises(OSError, match="shorter"):
        drain(outbox, *pair)
    outbox.clear()


def test_giving_up_leaves_no_descriptor_open(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    before = _open_files()
    outbox = Outbox(stores())
    with open(tmp_path / "file", "rb") as file:
        outbox.put_file(Span(file.fileno(), 0, 5))
    outbox.put(b"x" * (2 << 20))
    outbox.put(b"y")
    assert len(_open_files() - before) == 2
    outbox.clear()
    assert _open_files() - before == set()
    assert not outbox.size


def test_tiny_pieces_are_joined(pair):
    outbox = Outbox(stores())
    for number in range(30_000):
        outbox.put(b"%05d" % number)
    assert len(outbox._parts) < 20
    assert drain(outbox, *pair) == b"".join(b"%05d" % number for number in range(30_000))


class TestMemory:
    def test_is_shared_by_all(self, pair):
        shared = stores(memory=1 << 20)
        first, second = Outbox(shared), Outbox(shared)
        first.put(b"a" * (1 << 20))
        before = _open_files()
        second.put(b"b" * (1 << 20))
        assert len(_open_files() - before) == 1
        assert not first.strained
        assert not second.full
        assert take(second, *pair, 1 << 20) == b"b" * (1 << 20)
        assert take(first, *pair, 1 << 20) == b"a" * (1 << 20)
        assert _open_files() == before
        assert shared.memory.reserve(1 << 20)
        assert shared.files.reserve(1 << 30)

    def test_is_needed_once_for_what_many_are_given(self, pair):
        shared = stores(spool=0, memory=3 << 20)
        page = b"p" * (3 << 20)
        outboxes = [Outbox(shared) for _ in range(10)]
        for outbox in outboxes:
            outbox.put(memoryview(page)[5:])
            assert not outbox.strained
        for outbox in outboxes[:9]:
            outbox.clear()
        assert not shared.memory.reserve(1)
        assert take(outboxes[9], *pair, len(page) - 5) == page[5:]
        assert shared.memory.reserve(3 << 20)

    def test_comes_back_from_who_is_cut_off(self):
        shared = stores(memory=1 << 20)
        outbox = Outbox(shared)
        outbox.put(b"a" * (1 << 20))
        outbox.put(b"b" * MEMORY)
        assert not shared.memory.reserve(1)
        outbox.clear()
        assert shared.memory.reserve(1 << 20)
        assert shared.files.reserve(1 << 30)

    def test_is_there_for_small_answers_whatever_others_do(self):
        outbox = Outbox(stores(spool=0, memory=0))
        outbox.put(b"x" * SMALL)
        assert not outbox.strained
        outbox.put(b"x")
        assert outbox.strained


class TestNoPlaceLeft:
    """The bytes stay in memory, and the application is to wait."""

    def check(self, shared, pair):
        data = os.urandom(3 << 20)
        outbox = Outbox(shared)
        outbox.put(data)
        assert outbox.strained
        assert outbox.full
        assert outbox.size == len(data)
        assert take(outbox, *pair, len(data) - SMALL) == data[:-SMALL]
        assert not outbox.strained
        assert take(outbox, *pair, SMALL) == data[-SMALL:]

    def test_as_the_site_file_says(self, pair):
        self.check(stores(spool=0, memory=0), pair)

    def test_as_the_file_system_says(self, pair, tmp_path, monkeypatch):
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        errors = []
        self.check(stores(memory=0, on_trouble=errors.append), pair)
        assert [error.errno for error in errors] == [errno.ENOENT]

    def test_as_a_full_disk_says_half_way(self, pair):
        """A limit of the size of files ends a write like a full disk does: with a part."""
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, before[1]))
        try:
            errors = []
            shared = stores(memory=0, on_trouble=errors.append)
            self.check(shared, pair)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
            signal.signal(signal.SIGXFSZ, handler)
        assert [error.errno for error in errors] == [errno.EFBIG]
        assert shared.files.reserve(1 << 30)


def test_a_stream_that_is_always_ahead_does_not_grow_a_file_for_ever(pair):
    shared = stores(spool=3 * SEGMENT)
    outbox = Outbox(shared)
    piece = os.urandom(1 << 20)
    for _ in range(2):
        outbox.put(piece)
    for _ in range(6 * SEGMENT // len(piece)):
        outbox.put(piece)
        assert take(outbox, *pair, len(piece)) == piece
        assert not outbox.strained
    outbox.clear()


def _open_files():
    """(descriptor, file) of all files on a disk that this process has open."""
    files = set()
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed since, by a thread of another test
            files.add((link.name, str(link.readlink())))
    return {(fd, file) for fd, file in files if file.startswith("/") and not file.startswith("/proc")}
