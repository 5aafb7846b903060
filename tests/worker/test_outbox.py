"""What a client has not taken yet, over a real socket."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from superwsgi.http.files import Span
from superwsgi.worker import outbox as module
from superwsgi.worker.outbox import Outbox


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.settimeout(10)
    with ours, theirs:
        yield ours, theirs


def drain(outbox, ours, theirs) -> bytes:
    got = bytearray()
    while outbox:
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
    outbox = Outbox()
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
    assert not outbox


def test_it_stops_where_the_client_does(pair):
    outbox = Outbox()
    outbox.put(b"x" * (8 << 20))
    while outbox.flush(pair[0]):
        pass
    assert 0 < outbox.size < 8 << 20


def test_one_turn_has_an_end(pair, tmp_path):
    outbox = Outbox()
    outbox.put(b"x" * (module.TURN + 5))
    outbox.flush(pair[0])
    assert outbox.size >= 5


def test_a_file_that_shrank_is_an_error(pair, tmp_path):
    (tmp_path / "file").write_bytes(b"short")
    outbox = Outbox()
    with open(tmp_path / "file", "rb") as file:
        outbox.put_file(Span(file.fileno(), 0, 100))
    with pytest.raises(OSError, match="shorter"):
        drain(outbox, *pair)
    outbox.clear()


def test_giving_up_leaves_no_descriptor_open(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    before = _open_files()
    outbox = Outbox()
    with open(tmp_path / "file", "rb") as file:
        outbox.put_file(Span(file.fileno(), 0, 5))
    outbox.put(b"x" * (2 << 20))
    outbox.put(b"y")
    assert len(_open_files() - before) == 2
    outbox.clear()
    assert _open_files() - before == set()
    assert not outbox


def _open_files():
    """(descriptor, file) of all files on a disk that this process has open."""
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    files = {(link.name, str(link.readlink())) for link in links}
    return {(fd, file) for fd, file in files if file.startswith("/") and not file.startswith("/proc")}
