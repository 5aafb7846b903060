"""What applications say when somebody else holds their lock."""

import errno
import fcntl
import socket
import sqlite3

import pytest

from superwsgi.apps.locks import is_locked_out


def raised(function):
    with pytest.raises(Exception) as caught:  # noqa: PT011  # what it is called is the question
        function()
    return caught.value


def test_a_file(tmp_path):
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        assert is_locked_out(raised(lambda: fcntl.flock(second, fcntl.LOCK_EX | fcntl.LOCK_NB)))


def test_a_database(tmp_path):
    first, second = (sqlite3.connect(tmp_path / "db", timeout=0, isolation_level=None) for _ in range(2))
    first.execute("BEGIN EXCLUSIVE")
    assert is_locked_out(raised(lambda: second.execute("BEGIN EXCLUSIVE")))
    first.close()
    second.close()


def test_an_address():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert is_locked_out(raised(lambda: socket.create_server(server.getsockname())))


@pytest.mark.parametrize("name", ["LockError", "LockException", "AlreadyLocked", "LockTimeout"])
def test_libraries_have_names_of_their_own(name):
    assert is_locked_out(type(name, (Exception,), {})("Data.fs.lock"))


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("gdbm: Resource temporarily unavailable"),
        SystemExit("shop is already running"),
        RuntimeError("IO error: While lock file: /srv/db/LOCK: Resource temporarily unavailable"),
    ],
)
def test_some_only_say_so(error):
    assert is_locked_out(error)


def test_a_cause_counts():
    error = RuntimeError("cannot start")
    error.__cause__ = BlockingIOError(errno.EAGAIN, "held")
    assert is_locked_out(error)


@pytest.mark.parametrize(
    "error",
    [
        ModuleNotFoundError("No module named 'filelock'"),
        ImportError("cannot import name 'LockError' from 'lock file'"),
        FileNotFoundError(errno.ENOENT, "No such file or directory", "shop.lock"),
        PermissionError(errno.EACCES, "Permission denied"),
        KeyError("unlocked"),
    ],
)
def test_other_errors(error):
    assert not is_locked_out(error)


def test_errors_that_have_no_text():
    class Broken(Exception):
        def __str__(self):
            raise ValueError

    assert not is_locked_out(Broken())
