"""A unix socket's file in a folder that somebody else may write."""

import os
import socket
import stat
from pathlib import Path

import pytest

from superwsgi.master.sockets import socket_file
from superwsgi.master.sockets.socket_file import NotOurs, SocketFile


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path / "run"


@pytest.fixture
def sock():
    with socket.socket(socket.AF_UNIX) as sock:
        yield sock


@pytest.fixture
def bound(folder, sock):
    file = SocketFile.bind(sock, str(folder / "x.sock"))
    sock.listen()
    return file


@pytest.fixture
def victim(tmp_path):
    path = tmp_path / "victim"
    path.write_text("secret")
    path.chmod(0o600)
    yield path
    status = path.stat()
    assert (path.read_text(), stat.S_IMODE(status.st_mode)) == ("secret", 0o600)
    assert (status.st_uid, status.st_gid) == (os.geteuid(), os.getegid())


def listening(path):
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen()
    return sock


def test_nobody_connects_before_it_is_given(bound):
    assert stat.S_IMODE(Path(bound.path).stat().st_mode) == 0
    bound.give((-1, -1), 0o660)
    assert stat.S_IMODE(Path(bound.path).stat().st_mode) == 0o660
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(bound.path)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_its_owner(bound):
    bound.give((65534, 12345), 0o600)
    status = Path(bound.path).stat()
    assert (status.st_uid, status.st_gid) == (65534, 12345)


REPLACEMENTS = {
    "a link": lambda path, victim: path.symlink_to(victim),
    "a hard link": lambda path, victim: path.hardlink_to(victim),
    "a socket": lambda path, _: listening(path).close(),
    "a file": lambda path, _: path.touch(),
    "nothing": lambda path, _: None,
}


@pytest.mark.parametrize("replace", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_what_has_taken_its_place_is_left_alone(bound, victim, replace):
    path = Path(bound.path)
    path.rename(path.with_name("away"))
    replace(path, victim)
    before = os.path.lexists(path) and path.lstat()
    with pytest.raises((NotOurs, FileNotFoundError)):
        bound.give((0, 0), 0o777)
    assert not bound.is_there()
    bound.remove()
    assert (os.path.lexists(path) and path.lstat()) == before


def test_the_folder_may_be_another_by_now(bound, folder, tmp_path):
    """What has its name there is another's."""
    other = tmp_path / "etc"
    other.mkdir()
    (other / "x.sock").write_text("root's")
    folder.rename(tmp_path / "moved")
    folder.symlink_to(other)
    bound.remove()
    assert (other / "x.sock").read_text() == "root's"
    assert (tmp_path / "moved" / "x.sock").is_socket()


def test_it_is_removed_while_it_is_ours(bound):
    bound.remove()
    assert not Path(bound.path).exists()
    bound.remove()


def test_a_socket_that_nobody_listens_to_makes_way(folder, sock):
    listening(folder / "x.sock").close()
    assert SocketFile.bind(sock, str(folder / "x.sock")).is_there()


@pytest.mark.parametrize("replace", REPLACEMENTS.values(), ids=REPLACEMENTS)
def test_nothing_else_makes_way(folder, sock, victim, replace):
    path = folder / "x.sock"
    replace(path, victim)
    if not os.path.lexists(path) or path.is_socket():
        return
    for attempt in (lambda: SocketFile.bind(sock, str(path)), lambda: socket_file.check(str(path))):
        with pytest.raises(NotOurs, match="not a socket"):
            attempt()
    assert os.path.lexists(path)


def test_a_socket_that_somebody_listens_to_stays(folder, sock, tmp_path):
    with listening(tmp_path / "other"):
        (folder / "x.sock").hardlink_to(tmp_path / "other")
        with pytest.raises(NotOurs, match="another program listens there"):
            SocketFile.bind(sock, str(folder / "x.sock"))


def test_one_of_an_earlier_start(bound, folder, victim):
    mine = {os.geteuid()}
    assert SocketFile.find(bound.path, mine) == bound
    with pytest.raises(NotOurs):
        SocketFile.find(bound.path, {os.geteuid() + 1})
    (folder / "again").hardlink_to(bound.path)
    with pytest.raises(NotOurs):
        SocketFile.find(bound.path, mine)
    Path(bound.path).unlink()
    Path(bound.path).symlink_to(victim)
    with pytest.raises(NotOurs):
        SocketFile.find(bound.path, mine)
