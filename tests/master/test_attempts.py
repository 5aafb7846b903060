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


def test_sockets_are_found_once_each(tmp_path):
    folder = tmp_path / "superwsgi"
    folder.mkdir()
    (folder / "other.sock").touch()  # no socket
    environ = {"XDG_RUNTIME_DIR": str(tmp_path), "RUNTIME_DIRECTORY": str(tmp_path)}
    with socket.socket(socket.AF_UNIX) as one, socket.socket(socket.AF_UNIX) as two:
        one.bind(str(folder / "shop.sock"))
        two.bind(str(tmp_path / "control.sock"))
        found = runtime.sockets("*", environ)
    assert {tmp_path / "control.sock", folder / "shop.sock"} <= set(found)
    assert folder / "other.sock" not in found
    assert len(found) == len(set(found))
