"""Bodies that outgrow what each may keep in memory: in memory that they are lent, then in a file."""

from __future__ import annotations

import os
from mmap import mmap

import pytest

from superwsgi.http.request.body import Body
from superwsgi.http.request.large import BLOCK

MEMORY = 1000
CONTENT = os.urandom(3 * BLOCK + 100)


class Shelf:
    """Blocks for the tests, `left` of which are there."""

    def __init__(self, count: int) -> None:
        self.left = [mmap(-1, BLOCK) for _ in range(count)]

    def lend(self) -> mmap | None:
        return self.left.pop() if self.left else None

    def take_back(self, blocks: list[mmap]) -> None:
        self.left += blocks


@pytest.fixture(params=[0, 1, 2, 4], ids=lambda count: f"{count} blocks")
def shelf(request):
    return Shelf(request.param)


def written(shelf: Shelf, size: int = len(CONTENT), piece: int = 70_001) -> Body:
    body = Body(MEMORY, shelf)
    for at in range(0, size, piece):
        body.write(CONTENT[at : min(at + piece, size)])
    body.file.seek(0)
    return body


@pytest.mark.parametrize("size", [MEMORY + 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK, len(CONTENT)])
@pytest.mark.parametrize("piece", [700, BLOCK, len(CONTENT)])
def test_all_of_it_is_read(shelf, size, piece):
    body = written(shelf, size, piece)
    assert body.size == size
    assert body.file.read() == CONTENT[:size]
    assert body.file.read() == b""


@pytest.mark.parametrize("count", [777, 64 << 10, BLOCK + 1, 5 * BLOCK])
def test_it_is_read_in_pieces_and_by_lines(shelf, count):
    file = written(shelf).file
    assert b"".join(iter(lambda: file.read(count), b"")) == CONTENT
    file.seek(0)
    assert b"".join(file) == CONTENT
    file.seek(0)
    assert b"".join(file.readlines()) == CONTENT
    room = bytearray(count)
    file.seek(5)
    assert room[: file.readinto(room)] == CONTENT[5 : 5 + count]


@pytest.mark.parametrize("at", [0, 3, BLOCK - 1, BLOCK, 2 * BLOCK + 7, len(CONTENT) - 1, len(CONTENT) + 9])
def test_it_is_read_from_anywhere(shelf, at):
    file = written(shelf).file
    assert file.seek(at) == file.tell() == at
    assert file.read(10) == CONTENT[at : at + 10]
    file.seek(at)
    assert file.read() == CONTENT[at:]
    file.seek(-1, os.SEEK_END)
    assert file.read() == CONTENT[-1:]
    with pytest.raises((ValueError, OSError)):
        file.seek(-1)


def test_it_is_received_where_there_is_memory(shelf):
    body = written(shelf, MEMORY + 1)
    left = memoryview(CONTENT)[MEMORY + 1 :]
    while left:
        room = body.room(len(left))
        assert body.room(len(left)) == room, "asked again, before anything has come"
        count = min(len(left), 100_000)
        if room is None:
            body.write(bytes(left[:count]))
        else:
            count = min(count, len(room))
            room[:count] = left[:count]
            body.filled(count)
        left = left[count:]
    body.file.seek(0)
    assert body.file.read() == CONTENT
    assert body.size == len(CONTENT)


def test_there_is_no_room_for_more_than_was_announced(shelf):
    body = written(shelf, BLOCK + 1)
    room = body.room(5)
    assert room is None or len(room) == 5


def test_closed_it_gives_back_all_of_it_once(shelf):
    count = len(shelf.left)
    body = written(shelf)
    body.close()
    body.close()
    assert len({id(block) for block in shelf.left}) == len(shelf.left) == count
    with pytest.raises(ValueError, match="closed"):
        body.file.read()


def test_an_application_that_has_taken_its_buffer_away_reads_nothing_any_more(shelf):
    count = len(shelf.left)
    body = written(shelf)
    raw = body.file.detach()
    body.close()
    assert len(shelf.left) == count
    for read in (raw.read, raw.readall, lambda: raw.readinto(bytearray(1)), lambda: raw.seek(0)):
        with pytest.raises(ValueError, match="closed"):
            read()


def test_forgotten_it_gives_back_all_of_it(shelf):
    count = len(shelf.left)
    written(shelf)
    assert len(shelf.left) == count


def test_a_small_one_needs_nothing(shelf):
    count = len(shelf.left)
    body = written(shelf, MEMORY)
    assert body.file.read() == CONTENT[:MEMORY]
    assert body.room(1) is None
    assert len(shelf.left) == count
