"""What the master knows of a companion: over an upgrade, and in status."""

import os

import msgspec
import pytest

from superwsgi.config.parts.companions import CompanionSettings
from superwsgi.config.sections import Memory
from superwsgi.master.companions.companion import Companion, CompanionProcess, limits_of
from superwsgi.master.companions.states import CompanionState
from superwsgi.master.companions.telling import End, Repetitions
from superwsgi.master.handover import HeldCompanion
from superwsgi.master.policy.death import EARLY, FORGET, FREE, Crashes
from superwsgi.master.policy.limits.memory import MemoryLimits
from superwsgi.snapshot import CompanionStatus, DeathStatus

NOW = 1000.0
SETTINGS = CompanionSettings(command="celery worker", count=2, memory=Memory(soft=1 << 30))


@pytest.fixture
def process():
    return CompanionProcess(os.getpid(), 3, NOW - 60, SETTINGS, 30.0, limits_of(SETTINGS))


@pytest.fixture
def mail(process):
    return Companion("mail", 2, "mail:2", state=CompanionState.RUNNING, process=process, restarts=4)


def test_an_upgrade_keeps_what_is_known(mail, process):
    process.told, process.due = "asked for", "a release"
    mail.state, mail.deadline = CompanionState.ENDING, NOW + 9
    mail.crashes = Crashes(early=7, last_early=NOW - 9, fork_at=NOW + 3)
    mail.trouble, mail.last_end = "exit code 1", (NOW - 9, "exit code 1", 17)
    held = msgspec.json.decode(msgspec.json.encode(mail.hold()), type=HeldCompanion)
    again = Companion.restore(held, None)
    assert again.hold() == mail.hold()
    assert again.process.limits == MemoryLimits(1 << 30, None)


def test_its_status(mail):
    mail.last_end = NOW - 70, "exit code 1", 17
    end = DeathStatus("exit code 1", 70, 17)
    assert mail.status(NOW, 5) == CompanionStatus(
        "mail:2", "running", os.getpid(), 3, 60.0, 4, 5, last_end=end
    )
    mail.process.due = "memory.soft"
    assert mail.status(NOW, 5).why == "memory.soft"
    mail.process.stopped_at = NOW
    assert mail.status(NOW, 5).state == "stopped"


def test_it_fails_until_it_stays(mail):
    mail.crashes = Crashes(early=6, last_early=NOW)
    mail.trouble = "exit code 1"
    assert not mail.fails(NOW)
    mail.process.began = NOW - 1
    assert mail.fails(NOW)
    mail.state, mail.process = CompanionState.WAITING, None
    assert (mail.status(NOW, None).state, mail.status(NOW, None).why) == ("crash-loop", "exit code 1")
    assert not mail.fails(NOW + FORGET)
    mail.wanted = False
    assert not mail.fails(NOW)


@pytest.mark.parametrize("word", ["mail", "mail:2", pytest.param(str(os.getpid()), id="its process id")])
def test_what_it_is_called(mail, word):
    assert mail.is_called(word)


@pytest.mark.parametrize("word", ["mail:1", "2", "None", ""])
def test_what_it_is_not_called(mail, word):
    mail.state, mail.process = CompanionState.WAITING, None
    assert not mail.is_called(word)


@pytest.mark.parametrize(
    ("code", "served", "left", "how", "expected"),
    [
        (0, 60.0, (), "exit code 0", True),  # as after so many tasks
        (0, 1.0, (), "exit code 0: it has ended by itself, and a companion is to go on", False),
        (0, 60.0, (7,), "exit code 0: it has put itself into the background", False),
        (1, 60.0, (), "exit code 1", False),
        (-9, 60.0, (), "signal 9 (SIGKILL): not by the master", False),
        (-15, 60.0, (), "signal 15 (SIGTERM)", False),
    ],
)
def test_what_is_said_of_an_end(process, code, served, left, how, expected):
    end = End(process, code, served, left)
    assert end.how.startswith(how)
    assert (end.is_expected, end.asked) == (expected, False)
    process.told = "a release"
    assert end.is_expected
    assert end.cause.endswith(": a release")


def test_a_crash_loop_is_told_a_few_times_and_then_every_ten_minutes(mail):
    repetitions = Repetitions()
    levels = []
    for times in range(200):
        mail.crashes.early = times + 1
        level, _ = repetitions.level(mail, 3, "error", "exit code 1", NOW + 30 * times)
        assert mail.hushed is (level == "debug")
        levels.append(level)
    assert levels[: FREE + 8] == ["error"] * (FREE + 8)
    assert levels[FREE + 8 :].count("error") == 9
    assert repetitions.level(mail, 3, "error", "exit code 2", NOW)[0] == "error"
    assert repetitions.level(mail, 4, "error", "exit code 1", NOW)[0] == "error"


def test_that_it_recovers_is_told_once_if_its_start_was_not(mail):
    assert not mail.recovers(NOW)
    mail.hushed = True
    mail.process.began = NOW - 1
    assert not mail.recovers(NOW)
    mail.process.began = NOW - EARLY
    assert mail.recovers(NOW)
    assert not mail.recovers(NOW)
