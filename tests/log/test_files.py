import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from superwsgi.log.files import STDOUT, LogTargetError, check_target, open_target, try_writing


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
