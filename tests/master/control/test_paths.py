"""Where control sockets are, which of them a master gets."""

import fcntl
import os
import socket
import subprocess
import sys

import pytest

from superwsgi.master.control import by_name, paths
from superwsgi.master.sockets.listener import BindError


@pytest.fixture
def folder(tmp_path):
    """With the environment in which it is a site's own."""
    return tmp_path, {"RUNTIME_DIRECTORY": f"{tmp_path}:/run/more"}


@pytest.fixture
def bind():
    """Bind a socket that listens, or leave one as a dead master does."""
    socks = []

    def bind(path, alive=True):
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(str(path))
        if alive:
            sock.listen()
        socks.append(sock)
        if not alive:
            sock.close()
        return path

    yield bind
    for sock in socks:
        sock.close()


class TestPlaces:
    def test_a_folder_of_one_site_is_the_only_one(self, folder):
        path, environ = folder
        assert [folder.socket() for folder in paths.folders("shop", environ)] == [path / "control.sock"]

    def test_those_of_a_user(self):
        environ = {"XDG_RUNTIME_DIR": "/run/user/7"}
        sockets = [str(folder.socket(2)) for folder in paths.folders("shop", environ)]
        first = "/run/superwsgi" if os.geteuid() == 0 else "/run/user/7/superwsgi"
        assert sockets == [f"{first}/shop-2.sock", f"/tmp/superwsgi-{os.geteuid()}/shop-2.sock"]

    @pytest.mark.parametrize("environ", [{}, {"XDG_RUNTIME_DIR": "not/absolute"}, {"XDG_RUNTIME_DIR": ""}])
    def test_there_is_always_one(self, environ):
        assert paths.folders("shop", environ)[-1].path == paths.Path(f"/tmp/superwsgi-{os.geteuid()}")

    @pytest.mark.parametrize(
        ("path", "name", "may_be"),
        [
            ("/run/superwsgi/shop.sock", "shop", True),
            ("/run/superwsgi/shop-2.sock", "shop", True),
            ("/run/superwsgi/shop-2.sock", "shop-2", True),
            ("/run/superwsgi/shop-x.sock", "shop", False),
            ("/run/superwsgi/myshop.sock", "shop", False),
            ("/run/superwsgi/shop/control.sock", "shop", True),
            ("/run/superwsgi/shop/control-2.sock", "shop", True),
            ("/run/superwsgi/blog/control.sock", "shop", False),
            ("/run/superwsgi/sXp.sock", "s.p", False),
        ],
    )
    def test_what_a_path_tells_of_the_name(self, path, name, may_be):
        assert paths.may_be(paths.Path(path), name) is may_be


class TestByName:
    def test_the_next_one_has_a_number(self, folder):
        path, environ = folder
        first, second = (by_name.bind("shop", environ, 8) for _ in range(2))
        assert (str(first.listener.address), first.other) == (f"unix:{path}/control.sock", None)
        assert (str(second.listener.address), second.other) == (
            f"unix:{path}/control-2.sock",
            path / "control.sock",
        )
        assert paths.sockets(environ) == [path / "control-2.sock", path / "control.sock"]
        first.listener.close()
        assert paths.sockets(environ) == [path / "control-2.sock"]
        second.listener.close()

    def test_what_a_dead_master_left_is_taken_over_and_nothing_else(self, folder, bind):
        path, environ = folder
        inode = bind(path / "control.sock").stat().st_ino
        (path / "control-2.sock").write_text("a file")
        bind(path / "control-3.sock", alive=False)
        bound = by_name.bind("shop", environ, 8).listener
        assert str(bound.address) == f"unix:{path}/control-3.sock"
        assert (path / "control.sock").stat().st_ino == inode
        assert (path / "control-2.sock").read_text() == "a file"
        bound.close()

    def test_at_the_same_moment(self, folder, bind):
        """With a socket that all of them find to be dead."""
        path, environ = folder
        bind(path / "control.sock", alive=False)
        rivals = [
            subprocess.Popen(
                [sys.executable, "-c", RIVAL],
                env={**os.environ, **environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(6)
        ]
        try:
            assert {each.stdout.readline() for each in rivals} == {"ready\n"}
            for each in rivals:
                each.stdin.write("go\n")
                each.stdin.flush()
            said = {each.stdout.readline().strip() for each in rivals}
            assert said == {f"unix:{place}" for place in paths.sockets(environ)}
            assert len(said) == len(rivals)
            assert {each.name for each in path.iterdir()} == {each.name for each in paths.sockets(environ)}
            for place in paths.sockets(environ):
                with socket.socket(socket.AF_UNIX) as sock:
                    sock.connect(str(place))
        finally:
            for each in rivals:
                each.communicate()

    def test_one_that_stands_still_meanwhile(self, folder, bind):
        """It is not waited for any longer than a moment, and its lock is not taken from it."""
        path, environ = folder
        with (path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            with pytest.raises(BindError, match=r"another process has held .*/\.lock for 2s"):
                by_name.bind("shop", environ, 8)
        bound = by_name.bind("shop", environ, 8).listener
        bound.close()
        assert not list(path.iterdir())

    def test_a_link_in_the_place_of_the_lock_is_not_followed(self, folder):
        path, environ = folder
        (path / ".lock").symlink_to(path / "target")
        with pytest.raises(BindError, match="Too many levels of symbolic links"):
            by_name.bind("shop", environ, 8)
        assert not (path / "target").exists()

    def test_a_path_that_is_too_long_for_a_socket(self, tmp_path):
        path = tmp_path / ("x" * 100)
        path.mkdir()
        with pytest.raises(
            BindError, match=r"control.sock has \d+ bytes, but the path of a socket has at most 107"
        ):
            by_name.bind("shop", {"RUNTIME_DIRECTORY": str(path)}, 8)

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(BindError, match=r"cannot use .*/file/x: Not a directory"):
            by_name.bind("shop", {"RUNTIME_DIRECTORY": f"{tmp_path}/file/x"}, 8)


RIVAL = """
import os, sys
from superwsgi.master.control import by_name
print("ready", flush=True)
sys.stdin.readline()
bound = by_name.bind("shop", os.environ, 8).listener
print(bound.address, flush=True)
sys.stdin.read()
"""
