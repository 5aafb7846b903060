"""Starts and reloads by number, and where control sockets are looked for."""

import socket

import pytest

from superwsgi.config.schema import Site
from superwsgi.control import Outcome
from superwsgi.master import runtime
from superwsgi.master.attempts import Attempts


def test_an_attempt_ends_once():
    attempts = Attempts()
    number = attempts.begin(10.0)
    attempts.generation(7)
    assert attempts.find(number).ended is None
    attempts.end(Outcome.FAILED, 12.5, "reason")
    attempts.end(Outcome.COMPLETE, 13.0)
    ended = attempts.find(number).ended
    assert (ended.outcome, ended.seconds, ended.generation) == (Outcome.FAILED, 2.5, 7)


def test_the_next_one_is_not_there_yet():
    attempts = Attempts()
    attempts.begin(0.0)
    expected = attempts.next
    assert attempts.find(expected) is None
    assert attempts.begin(1.0) == attempts.newest == expected


def site(**keys):
    return Site(name="shop", apps={"/": "app:app"}, **keys)


@pytest.mark.parametrize(
    ("control", "environ", "path"),
    [
        ("off", {"RUNTIME_DIRECTORY": "/run/x"}, "None"),
        ("/srv/c.sock", {"RUNTIME_DIRECTORY": "/run/x"}, "/srv/c.sock"),
        (None, {"RUNTIME_DIRECTORY": "/run/superwsgi/shop:/run/more"}, "/run/superwsgi/shop/control.sock"),
    ],
)
def test_where_a_master_listens(control, environ, path):
    assert str(runtime.control_path(site(control=control), environ)) == path


@pytest.fixture
def bound(tmp_path):
    """Control sockets of a user's two sites, and one in a folder that belongs to one site alone."""
    folder = tmp_path / "superwsgi"
    folder.mkdir()
    (folder / "no.sock").touch()
    paths = [folder / "blog.sock", folder / "shop.sock", tmp_path / "control.sock"]
    socks = [socket.socket(socket.AF_UNIX) for _ in paths]
    for sock, path in zip(socks, paths, strict=True):
        sock.bind(str(path))
    yield paths
    for sock in socks:
        sock.close()


def test_a_users_sites_are_found_by_name_or_all(tmp_path, bound):
    blog, shop, _ = bound
    environ = {"XDG_RUNTIME_DIR": str(tmp_path)}
    found = runtime.sockets("*", environ)
    assert [path for path in found if path.parent == blog.parent] == [blog, shop]
    assert shop in runtime.sockets("shop", environ)
    assert blog not in runtime.sockets("shop", environ)


def test_a_folder_of_one_site_is_looked_into_alone(tmp_path, bound):
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path)}
    assert runtime.sockets("*", environ) == runtime.sockets("shop", environ) == [bound[2]]
