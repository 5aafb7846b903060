"""The pid file, in a folder in which somebody else may do what he likes."""

import fcntl
import os
from pathlib import Path

import pytest

from superwsgi.master.pidfile import PidFile, PidFileError

MINE = f"{os.getpid()}\n"


@pytest.fixture
def path(tmp_path):
    return tmp_path / "pid"


@pytest.fixture
def pidfile(path):
    pidfile = PidFile(str(path))
    yield pidfile
    pidfile.release()


@pytest.mark.parametrize("before", [None, "", "4711\n", "4711", "1234567890\n\n"])
def test_it_is_taken(path, pidfile, before):
    if before is not None:
        path.write_text(before)
    pidfile.check()
    pidfile.take()
    assert path.read_text() == MINE
    pidfile.release()
    assert not path.exists()


@pytest.mark.parametrize("content", ["app: app:app\n", "12345678901", "0" * 33, "1 2", "-1", "\x00" * 8])
def test_what_is_no_pid_file_is_not_written_to(path, pidfile, content):
    path.write_text(content)
    for attempt in (pidfile.check, pidfile.take):
        with pytest.raises(PidFileError, match="something other than a process id"):
            attempt()
    assert path.read_text() == content


def test_a_file_with_another_name_is_not_written_to(path, pidfile, tmp_path):
    (tmp_path / "other").write_text("1\n")
    path.hardlink_to(tmp_path / "other")
    with pytest.raises(PidFileError, match=r"only this name"):
        pidfile.take()
    assert path.read_text() == "1\n"


def test_a_pipe_is_none(path, pidfile):
    os.mkfifo(path)
    with pytest.raises(PidFileError, match="not a plain file"):
        pidfile.take()


@pytest.mark.skipif(os.geteuid() != 0, reason="others' files are only root's to write")
class TestRoot:
    def test_somebody_elses(self, path, pidfile):
        path.write_text("1\n")
        os.chown(path, 65534, -1)
        with pytest.raises(PidFileError, match="belongs to user 65534, not to root"):
            pidfile.take()
        assert path.read_text() == "1\n"

    @pytest.mark.parametrize("content", ["", "1\n", "precious"])
    def test_somebody_elses_link(self, path, pidfile, tmp_path, content):
        (tmp_path / "victim").write_text(content)
        path.symlink_to(tmp_path / "victim")
        os.chown(path, 65534, -1, follow_symlinks=False)
        for attempt in (pidfile.check, pidfile.take):
            with pytest.raises(PidFileError, match="leads by a link of user 65534"):
                attempt()
        assert (tmp_path / "victim").read_text() == content


@pytest.mark.parametrize("what", ["file", "link", "nothing"])
def test_what_has_taken_its_place_stays(path, pidfile, tmp_path, what):
    pidfile.take()
    path.rename(tmp_path / "away")
    if what == "file":
        path.write_text("another's")
    elif what == "link":
        path.symlink_to(tmp_path / "away")
    pidfile.release()
    assert os.path.lexists(path) == (what != "nothing")
    assert (tmp_path / "away").read_text() == MINE


def test_the_folder_may_be_another_by_now(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc" / "pid").write_text("root's")
    pidfile = PidFile(str(tmp_path / "run" / "pid"))
    pidfile.take()
    (tmp_path / "run").rename(tmp_path / "moved")
    (tmp_path / "run").symlink_to(tmp_path / "etc")
    pidfile.release()
    assert (tmp_path / "etc" / "pid").read_text() == "root's"


def test_the_next_program_need_not_take_it_again(path, pidfile):
    """Who waits for the lock, as a worker can, does not get it in between."""
    pidfile.take()
    held = pidfile.hold()
    assert held is not None
    again = PidFile.restore((held[0], os.dup(held[1])))
    again.take()
    assert path.read_text() == MINE
    with Path(path).open() as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_SH | fcntl.LOCK_NB)
    again.release()
    assert not path.exists()


def test_one_that_was_removed_is_written_again(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    path = folder / "pid"
    pidfile = PidFile(str(path))
    pidfile.take()
    path.unlink()
    folder.rmdir()
    with pytest.raises(PidFileError, match="cannot write pid file"):
        pidfile.move(str(path))
    folder.mkdir()
    pidfile.move(str(path))
    assert path.read_text() == MINE
    pidfile.move(str(path))
    pidfile.release()
    assert not path.exists()


def test_somebody_elses_in_its_place_stays(path, pidfile):
    pidfile.take()
    path.unlink()
    other = PidFile(str(path))
    other.take()
    inode = path.stat().st_ino
    pidfile.check_move(str(path))
    pidfile.move(str(path))
    assert path.stat().st_ino == inode
    other.release()
