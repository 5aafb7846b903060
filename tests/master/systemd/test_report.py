"""What systemd hears, on a socket of the test's own."""

import socket

import pytest

from superwsgi.config.schema import RollOutSettings
from superwsgi.master.sockets.listener import BindError
from superwsgi.master.systemd.notify import Notifier, UnitPhase
from superwsgi.master.systemd.report import Report, Summary, phase, spell


@pytest.fixture
def systemd(tmp_path):
    """Its end: what has been said since it was last read, lines without time stamps."""
    path = str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(path)
        sock.setblocking(False)

        def heard():
            lines = []
            try:
                while True:
                    lines += sock.recv(4096).decode().splitlines()
            except BlockingIOError:
                return [line for line in lines if not line.startswith(("MONOTONIC_USEC", "EXTEND", "FD"))]

        yield path, heard


@pytest.fixture
def report(rooms, systemd):
    path, _ = systemd
    report = Report(Notifier({"NOTIFY_SOCKET": path}), rooms.generations, rooms.record, rooms.loop)
    first = rooms.start()
    report.update(stopping=False)
    rooms.load(first)
    rooms.serve(first)
    return report


def phases(heard):
    return [line for line in heard if line in ("READY=1", "RELOADING=1", "STOPPING=1")]


def test_ready_once_the_first_serves(report, systemd):
    _, heard = systemd
    assert phases(heard()) == []
    report.update(stopping=False)
    report.update(stopping=False)
    assert phases(heard()) == ["READY=1"]


def test_a_reload_until_it_is_confirmed(rooms, report, systemd):
    _, heard = systemd
    report.update(stopping=False)
    rooms.site = rooms.a_site(workers=1, rollout=RollOutSettings(confirm=10.0))
    rooms.ask()
    second = rooms.generations.candidate
    report.update(stopping=False)
    rooms.load(second)
    rooms.serve(second)
    report.update(stopping=False)
    assert phases(heard()) == ["READY=1", "RELOADING=1"]
    rooms.now += 11
    rooms.turn()
    report.update(stopping=False)
    assert phases(heard()) == ["READY=1"]


def test_a_reload_that_was_refused_has_an_end_too(rooms, report, systemd):
    _, heard = systemd
    report.update(stopping=False)
    heard()
    rooms.site = BindError("cannot bind :80")
    rooms.ask()
    report.update(stopping=False)
    said = heard()
    assert phases(said) == ["RELOADING=1", "READY=1"]
    assert said[1].endswith("; reload failed: cannot bind :80")


def test_a_stop_and_nothing_after_it(rooms, report, systemd):
    _, heard = systemd
    report.update(stopping=False)
    report.update(stopping=True)
    assert phases(heard()) == ["READY=1", "STOPPING=1"]
    assert phase(rooms.generations, stopping=True) is UnitPhase.STOPPING


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (Summary(UnitPhase.STARTING, 0, 0, 4, None), "0 of 4 workers, starting, 0 req/s"),
        (Summary(UnitPhase.READY, 4, 3, 4, 7, 811.6), "3 of 4 workers, generation 7, 812 req/s"),
        (Summary(UnitPhase.STOPPING, 1, 0, 4, 7), "stopping, 1 worker left"),
        (Summary(UnitPhase.STOPPING, 2, 0, 4, 7), "stopping, 2 workers left"),
        (Summary(UnitPhase.STOPPING, 0, 0, 4, 7), "stopped"),
        (Summary(UnitPhase.STOPPING, 0, 0, 4, None, trouble="no module"), "did not start: no module"),
    ],
)
def test_the_line_of_status(summary, line):
    assert spell(summary) == line
