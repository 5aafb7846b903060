"""What systemd hears, on a socket of the test's own."""

import socket
from dataclasses import replace

import pytest

from superwsgi.board.counts import Counts
from superwsgi.config.sections import RollOutSettings
from superwsgi.master.control.signs import condition
from superwsgi.master.policy import health
from superwsgi.master.policy.health import CompanionSigns, SiteSigns, WorkerSigns
from superwsgi.master.policy.last_minute import LastMinute
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
    known = rooms.generations, rooms.record
    report = Report(
        Notifier({"NOTIFY_SOCKET": path}),
        *known,
        rooms.loop,
        lambda now: condition(*known, None, stopping=False, now=now),
        rooms.companions,
    )
    first = rooms.start()
    report.update(rooms.now, stopping=False)
    rooms.load(first)
    rooms.serve(first)
    return report


def phases(heard):
    return [line for line in heard if line in ("READY=1", "RELOADING=1", "STOPPING=1")]


def test_ready_once_the_first_serves(rooms, report, systemd):
    _, heard = systemd
    assert phases(heard()) == []
    report.update(rooms.now, stopping=False)
    report.update(rooms.now, stopping=False)
    assert phases(heard()) == ["READY=1"]


def test_a_reload_until_it_is_confirmed(rooms, report, systemd):
    _, heard = systemd
    report.update(rooms.now, stopping=False)
    rooms.site = rooms.a_site(workers=1, rollout=RollOutSettings(confirm=10.0))
    rooms.ask()
    second = rooms.generations.candidate
    report.update(rooms.now, stopping=False)
    rooms.load(second)
    rooms.serve(second)
    report.update(rooms.now, stopping=False)
    assert phases(heard()) == ["READY=1", "RELOADING=1"]
    rooms.now += 11
    rooms.turn()
    report.update(rooms.now, stopping=False)
    assert phases(heard()) == ["READY=1"]


def test_a_reload_that_was_refused_has_an_end_too(rooms, report, systemd):
    _, heard = systemd
    report.update(rooms.now, stopping=False)
    heard()
    rooms.site = BindError("cannot bind :80")
    rooms.ask()
    report.update(rooms.now, stopping=False)
    said = heard()
    assert phases(said) == ["RELOADING=1", "READY=1"]
    assert said[1].startswith("STATUS=degraded, ")
    assert said[1].endswith(": last reload failed: cannot bind :80")


def test_a_stop_and_nothing_after_it(rooms, report, systemd):
    _, heard = systemd
    report.update(rooms.now, stopping=False)
    report.update(rooms.now, stopping=True)
    assert phases(heard()) == ["READY=1", "STOPPING=1"]
    assert phase(rooms.generations, stopping=True) is UnitPhase.STOPPING


def a_summary(phase, present, serving=0, generation=7, trouble="", bounds=None):
    """Of a site that wants four workers, and answers 48,696 requests in a minute."""
    signs = SiteSigns(
        phase=phase.value,
        wanted=4,
        workers=tuple(WorkerSigns(number) for number in range(serving)),
        lately=LastMinute(60.0, Counts(answers=(48_696, 0, 0, 0))),
        bounds=bounds,
    )
    return Summary(phase, present, generation, health.judge(signs), trouble)


@pytest.mark.parametrize(
    ("summary", "line"),
    [
        (
            a_summary(UnitPhase.STARTING, 0, generation=None),
            "down (starting), 0 of 4 workers, 812 req/s: 4 workers are still starting",
        ),
        (a_summary(UnitPhase.RUNNING, 4, 4), "healthy, 4 of 4 workers, generation 7, 812 req/s"),
        (
            a_summary(UnitPhase.RELOADING, 4, 3),
            "degraded (reloading), 3 of 4 workers, generation 7, 812 req/s: 1 worker is missing",
        ),
        (
            a_summary(UnitPhase.RUNNING, 4, 4, bounds=(2, 8)),
            "healthy, 4 of 4 workers (2 to 8), generation 7, 812 req/s",
        ),
        (a_summary(UnitPhase.STOPPING, 1), "stopping, 1 worker left"),
        (a_summary(UnitPhase.STOPPING, 2), "stopping, 2 workers left"),
        (a_summary(UnitPhase.STOPPING, 0), "stopped"),
        (replace(a_summary(UnitPhase.STOPPING, 1), companions=2), "stopping, 1 worker left"),
        (replace(a_summary(UnitPhase.STOPPING, 0), companions=2), "stopping, 2 companions left"),
        (
            a_summary(UnitPhase.STOPPING, 0, generation=None, trouble="no module"),
            "did not start: no module",
        ),
    ],
)
def test_the_line_of_status(summary, line):
    assert spell(summary) == line


def test_companions_stand_in_the_line_of_status():
    summary = a_summary(UnitPhase.RUNNING, 4, 4)
    companions = (CompanionSigns("mail", True), CompanionSigns("beat", False, "exit code 1"))
    signs = replace(summary.condition.signs, companions=companions)
    line = spell(replace(summary, condition=health.judge(signs)))
    assert line == (
        "degraded, 4 of 4 workers, generation 7, 812 req/s, 1 of 2 companions: companion beat: exit code 1"
    )
