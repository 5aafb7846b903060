"""Readers that stop: nothing that is said waits for them, and what they missed is counted where it was."""

import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryFile

import pytest

from superwsgi.log.files import STDERR, STDOUT, open_target
from superwsgi.log.writer import LIMIT, PIPE_BUF, Outlet, Sink, chunks

LINE = b"x" * 999 + b"\n"
DEADLINE = 60.0


class Way:
    """An outlet to something that is read only by `read`."""

    def __init__(self, fd: int, read: Callable[[], bytes]) -> None:
        self.outlet = Outlet(fd, lambda lines, reason: b"dropped %d: %s\n" % (lines, reason.encode()))
        self.read = read

    def read_until(self, wanted: bytes) -> bytes:
        read = b""
        deadline = time.monotonic() + DEADLINE
        while wanted not in read:
            assert time.monotonic() < deadline, read[-200:]
            read += self.read()
        return read


def _nothing_yet(fd: int) -> Callable[[], bytes]:
    os.set_blocking(fd, False)

    def read() -> bytes:
        try:
            return os.read(fd, 1 << 16)
        except BlockingIOError:
            time.sleep(0.001)
            return b""

    return read


@pytest.fixture(params=["pipe", "another's pipe", "socket", "terminal"])
def way(request: pytest.FixtureRequest) -> Iterator[Way]:
    with ExitStack() as stack:
        if request.param == "terminal":
            read_end, write_end = os.openpty()
            stack.callback(os.close, read_end)
            stack.callback(os.close, write_end)
            fd = open_target("-", write_end)
        elif request.param == "socket":
            theirs, ours = socket.socketpair()
            stack.enter_context(theirs)
            stack.enter_context(ours)
            read_end, write_end = theirs.fileno(), ours.fileno()
            fd = open_target("-", write_end)
        else:
            read_end, write_end = os.pipe()
            stack.callback(os.close, read_end)
            stack.callback(os.close, write_end)
            fd = open_target("-", write_end) if request.param == "pipe" else os.dup(write_end)
        assert fd is not None
        stack.callback(os.close, fd)
        way = Way(fd, _nothing_yet(read_end))
        yield way
        end(way)
        assert os.get_blocking(write_end), "it is shared with others"


def end(way: Way) -> None:
    """Read all that is left, for its thread to end."""
    closing = threading.Thread(target=way.outlet.close, args=(DEADLINE,))
    closing.start()
    while closing.is_alive():
        way.read()


def test_what_is_not_read_is_counted_where_it_was(way: Way) -> None:
    """More than the reader's buffer and ours hold; every line is there or counted, in order."""
    way.outlet.start()
    count = 3 * LIMIT // len(LINE)
    for number in range(count):
        way.outlet.put([b"%d" % number + LINE])
    read = way.read_until(b"dropped")
    way.outlet.put([b"last\n"])
    lines = (read + way.read_until(b"last")).replace(b"\r\n", b"\n").splitlines()
    kept = [int(line.partition(b"x")[0]) for line in lines if line.endswith(b"xx")]
    match = re.fullmatch(rb"dropped (\d+): nobody reads it", lines[len(kept)])
    assert match, lines[len(kept)]
    assert kept == list(range(count - int(match[1])))
    assert lines[len(kept) + 1 :] == [b"last"]


def test_without_a_thread_too(way: Way) -> None:
    for _ in range(2 * LIMIT // len(LINE)):
        way.outlet.put([LINE])
    while way.read():
        pass
    way.outlet.put([b"last\n"])
    assert re.search(rb"dropped \d+: nobody reads it\r?\nlast", way.read_until(b"last"))


def test_the_end_waits_no_longer_than_it_may(way: Way) -> None:
    way.outlet.start()
    for _ in range(2 * LIMIT // len(LINE)):
        way.outlet.put([LINE])
    way.outlet.flush(0.01)
    way.outlet.close(0.01)
    way.outlet.put([b"nor does this\n"])
    way.read_until(b"dropped")


def test_a_forked_child_says_what_is_its_own(way: Way) -> None:
    """Its parent's thread is not there, and what waits in the parent is not said twice."""
    way.outlet.start()
    for number in range(2 * LIMIT // len(LINE)):
        way.outlet.put([b"%d" % number + LINE])
    child = os.fork()
    if child == 0:
        way.outlet.put([b"child\n"])
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    lines = way.read_until(b"dropped").replace(b"\r\n", b"\n").splitlines()
    numbers = [line for line in lines if line.endswith(b"xx")]
    assert len(numbers) == len(set(numbers))
    assert [line for line in lines if line.startswith(b"dropped")] == lines[-1:]


def test_who_says_something_knows_that_it_is_written(tmp_path: Path) -> None:
    """In a file, too, which a thread writes: the process may be killed next."""
    path = tmp_path / "log"
    child = os.fork()
    if child == 0:
        fd = open_target(str(path), STDERR)
        assert fd is not None
        outlet = Outlet(fd, lambda *_: b"")
        outlet.start()
        threads = [threading.Thread(target=outlet.put, args=([b"%d\n" % n],)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        os.kill(os.getpid(), 9)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
    assert sorted(path.read_text().split()) == [str(number) for number in range(8)]


def test_a_full_disk_is_told_of_when_there_is_room_again() -> None:
    fd = open_target("/dev/full", STDERR)
    assert fd is not None
    outlet = Outlet(fd, lambda lines, reason: b"dropped %d: %s\n" % (lines, reason.encode()))
    outlet.start()
    outlet.put([b"one\n", b"two\n"])
    outlet.flush(DEADLINE)
    read_end, write_end = os.pipe()
    outlet.reopen(write_end)
    outlet.put([b"three\n"])
    outlet.close(DEADLINE)
    os.close(fd)
    with open(read_end, "rb") as reader:
        assert reader.read() == b"dropped 2: No space left on device\nthree\n"


# A sink: how a descriptor is written to.


def test_reopen_keeps_the_number(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    fd = open_target(str(first), STDOUT)
    other = open_target(str(second), STDOUT)
    assert fd is not None
    assert other is not None
    sink = Sink(fd)
    sink.write(b"one\n", 0)
    sink.reopen(other)
    sink.write(b"two\n", 0)
    assert (sink.fd, os.get_inheritable(fd)) == (fd, False)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(other)
    os.close(fd)
    assert (first.read_text(), second.read_text()) == ("one\n", "two\n")


def test_a_full_pipe_is_given_patience_and_no_more(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    os.set_blocking(write_end, False)
    sink = Sink(write_end)
    while sink.writable(0):
        os.write(write_end, b"x" * PIPE_BUF)
    with pytest.raises(BlockingIOError):
        sink.write(b"no room\n", 0.001)
    os.read(read_end, 1 << 20)
    assert sink.writable(0)
    sink.write(b"again\n", 0)
    assert os.read(read_end, 100) == b"again\n"


def test_a_torn_line_is_ended_before_the_next(tmp_path: Path) -> None:
    """A file size limit tears a line as a full disk would: the part before it fits, the rest does not."""
    path = tmp_path / "log"
    child = os.fork()
    if child == 0:
        import resource

        fd = open_target(str(path), STDOUT)
        assert fd is not None
        sink = Sink(fd)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
        try:
            sink.write(b"first line that is too long\n", 0)
        except OSError:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            sink.write(b"second\n", 0)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_text() == "first line\nsecond\n"


def test_a_file_of_ours_that_was_removed_takes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    fd = open_target(str(path), STDOUT)
    assert fd is not None
    sink = Sink(fd)
    sink.write(b"before\n", None)
    (tmp_path / "second name").hardlink_to(path)
    path.unlink()
    sink.write(b"renamed\n", None)
    (tmp_path / "second name").unlink()
    with pytest.raises(FileNotFoundError, match="removed"):
        sink.write(b"lost\n", None)
    again = open_target(str(path), STDOUT)
    assert again is not None
    sink.reopen(again)
    sink.write(b"after\n", None)
    os.close(fd)
    assert path.read_text() == "after\n"


def test_a_file_that_never_had_a_name_is_written_to() -> None:
    """As a redirected stdout may be."""
    with TemporaryFile() as file:
        fd = open_target("-", file.fileno())
        assert fd is not None
        Sink(fd).write(b"line\n", None)
        os.close(fd)
        file.seek(0)
        assert file.read() == b"line\n"


def test_chunks_hold_whole_lines() -> None:
    lines = [b"a" * 1999 + b"\n", b"b" * 1999 + b"\n", b"c" * 1999 + b"\n", b"d" * 5000 + b"\n", b"e\n"]
    pieces = list(chunks(lines, PIPE_BUF))
    assert b"".join(pieces) == b"".join(lines)
    assert [piece.count(b"\n") for piece in pieces] == [2, 1, 1, 1]
    assert all(piece.endswith(b"\n") for piece in pieces)
    assert list(chunks([], PIPE_BUF)) == []
