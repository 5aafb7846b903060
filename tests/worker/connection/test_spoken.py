"""Where WebSocket frames begin and end in what an application sends, however it is cut."""

from __future__ import annotations

import random

import pytest

from superwsgi.worker.connection.spoken import Spoken

HEAD = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUPGRADE:websocket\r\n\r\n"
FRAMES = [
    b"\x81\x00",
    b"\x01\x05hello",
    b"\x89\x00",
    b"\x82\x7e\x00\x7e" + b"x" * 126,
    b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + b"y" * 65536,
    b"\x81\x82mask\x00\x00",
    b"\x80\x03end",
]


@pytest.mark.parametrize("seed", range(20))
def test_between_frames_only(seed):
    spoken, edges, at = Spoken(), {len(HEAD)}, len(HEAD)
    for frame in FRAMES:
        at += len(frame)
        edges.add(at)
    data, at, cut = HEAD + b"".join(FRAMES), 0, random.Random(seed)
    while at < len(data):
        step = cut.choice([1, 2, 3, 7, 60, 40_000])
        spoken.feed(data[at : at + step])
        at = min(len(data), at + step)
        assert spoken.between is (at in edges)
    assert spoken.status == 101
    assert not spoken.closed


def test_byte_by_byte():
    spoken = Spoken()
    for at in range(len(HEAD)):
        assert not spoken.between
        spoken.feed(HEAD[at : at + 1])
    assert spoken.between
    for byte in b"\x88\x02\x03\xe8":
        spoken.feed(bytes([byte]))
    assert spoken.closed
    assert not spoken.between


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"HTTP/1.1 400 Bad Request\r\nUpgrade: websocket\r\n\r\n", 400),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: shout\r\n\r\n\x81\x00", 101),
        (b"hello\r\n\r\n", 0),
        (b"x" * 100_000, 0),
    ],
)
def test_no_frames(data, status):
    spoken = Spoken()
    spoken.feed(data)
    assert spoken.status == status
    assert not spoken.websocket
    assert not spoken.between
