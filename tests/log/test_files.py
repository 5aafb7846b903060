import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

import pytest

from superwsgi.log.files import (
    PIPE_BUF,
    STDOUT,
    LogTargetError,
    Sink,
    check_target,
    chunks,
    open_target,
    try_writing,
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def test_off_is_no_descriptor() -> None:
    assert open_target("off", STDOUT) is None


def test_a_file_is_appended_to_and_closed_on_exec(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text("before\n")
    fd = open_target(str(path), STDOUT)
    assert fd is not None
    os.write(fd, b"after\n")
    assert not os.get_inheritable(fd)
    os.close(fd)
    assert path.read_text() == "before\nafter\n"


@pytest.mark.parametrize("target", ["-", "/dev/stdout", "/dev/stderr"])
def test_standard_descriptors_are_copied(target: str) -> None:
    fd = open_target(target, STDOUT)
    assert fd is not None
    assert fd > 2
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_a_copied_pipe_does_not_block_and_the_original_still_does(pipe: tuple[int, int]) -> None:
    _, write_end = pipe
    fd = open_target("-", write_end)
    assert fd is not None
    assert not os.get_blocking(fd)
    assert os.get_blocking(write_end)
    os.close(fd)


def test_a_copied_socket_is_written_to() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        fd = open_target("-", ours.fileno())
        assert fd is not None
        os.write(fd, b"line\n")
        os.close(fd)
        assert theirs.recv(100) == b"line\n"


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(LogTargetError, match=f"the folder {tmp_path}/logs does not exist"):
        open_target(str(tmp_path / "logs" / "access.log"), STDOUT)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(LogTargetError, match="is a folder"):
        open_target(str(tmp_path), STDOUT)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    with pytest.raises(LogTargetError, match="logs is not a folder"):
        open_target(str(tmp_path / "logs" / "access.log"), STDOUT)


def test_a_pipe_without_a_reader_is_reported(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(LogTargetError, match="nobody reads"):
        open_target(str(tmp_path / "pipe"), STDOUT)


def test_a_closed_standard_descriptor_is_reported() -> None:
    ends = os.pipe()
    for end in ends:
        os.close(end)
    with pytest.raises(LogTargetError, match="closed") as caught:
        open_target("-", ends[1])
    assert caught.value.target == "-"


@contextmanager
def unprivileged() -> Iterator[None]:
    """Root may write everywhere, so somebody else tries."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_missing_permission_names_the_user() -> None:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o500)
        with (
            unprivileged(),
            pytest.raises(LogTargetError, match=r"no permission to write it as user id [1-9]"),
        ):
            open_target(folder + "/access.log", STDOUT)


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


class TestTrying:
    """Whether a file could be written, found out without touching it."""

    def test_leaves_no_trace(self, tmp_path: Path) -> None:
        there = tmp_path / "there"
        there.write_text("old")
        try_writing(there)
        try_writing(tmp_path / "not there")
        assert [path.name for path in tmp_path.iterdir()] == ["there"]
        assert there.read_text() == "old"

    @pytest.mark.parametrize("target", ["off", "-", "/dev/stdout"])
    def test_targets_that_are_no_files_of_ours(self, target: str) -> None:
        check_target(target)

    def test_says_what_opening_would(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        (tmp_path / "file").touch()
        os.mkfifo(tmp_path / "fifo")
        for name in ("folder", "file/x", "no/x", "fifo"):
            target = str(tmp_path / name)
            with pytest.raises(LogTargetError) as tried:
                check_target(target)
            with pytest.raises(LogTargetError) as opened:
                open_target(target, STDOUT)
            assert str(tried.value) == str(opened.value)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    def test_with_the_rights_of_who_asks(self, tmp_path: Path) -> None:
        (tmp_path / "there").touch(0o644)
        os.seteuid(65534)
        try:
            for name in ("there", "not there"):
                with pytest.raises(PermissionError):
                    try_writing(tmp_path / name)
        finally:
            os.seteuid(0)
