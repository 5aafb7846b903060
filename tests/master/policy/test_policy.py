"""Back-off, memory and death: numbers in, verdict out."""

import signal

import pytest

from superwsgi.master.policy import backoff, death, heartbeat, stopped
from superwsgi.master.policy.memory import MemoryLimits, Verdict, in_bytes


def test_the_first_early_deaths_are_replaced_at_once():
    assert [backoff.delay(n) for n in range(backoff.FREE + 1)] == [0.0] * (backoff.FREE + 1)


def test_then_the_wait_doubles_up_to_half_a_minute():
    waits = [backoff.delay(backoff.FREE + n) for n in range(1, 12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == backoff.LONGEST
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    ("before", "served", "since_last", "after"),
    [
        (0, None, None, 1),
        (3, None, 0.1, 4),
        (3, 0.05, 0.1, 4),
        (3, backoff.EARLY, 0.1, 0),
        (3, 0.05, backoff.FORGET, 1),
    ],
)
def test_a_row_of_early_deaths(before, served, since_last, after):
    assert backoff.streak(before, served=served, since_last=since_last) == after


def test_an_application_that_dies_at_each_start_is_forked_seldom():
    """50 ms of life each, for eight seconds: a supervisor without back-off made 149 forks of it."""
    now, streak, forks = 0.0, 0, 0
    while now < 8.0:
        forks += 1
        now += 0.05
        streak = backoff.streak(streak, served=0.05, since_last=0.1)
        now += backoff.delay(streak)
    assert forks <= 12


@pytest.mark.parametrize(
    ("used", "verdict"),
    [(50, Verdict.FINE), (100, Verdict.FINE), (101, Verdict.RECYCLE), (201, Verdict.KILL)],
)
def test_memory(used, verdict):
    assert MemoryLimits(soft=100, hard=200).judge(used) is verdict


def test_memory_without_limits():
    assert not MemoryLimits(None, None)
    assert MemoryLimits(None, None).judge(1 << 60) is Verdict.FINE


def test_memory_in_words():
    limits = MemoryLimits(600 << 20, 700 << 20, "pss")
    assert limits.spell(612 << 20, Verdict.RECYCLE) == "memory.soft: pss 612M over 600M"
    assert limits.spell(712 << 20, Verdict.KILL) == "memory.hard: pss 712M over 700M"


def test_a_share_of_memory():
    assert in_bytes(0.25, 1000) == 250
    assert in_bytes(300, 1000) == 300
    assert in_bytes(None, 1000) is None


def judge(**changes):
    usual = {
        "code": 1,
        "served": 0.05,
        "asked_to_go": False,
        "boot_failed": False,
        "candidate": True,
        "early_deaths": 1,
        "failures": 2,
        "max_failures": 3,
    }
    return death.judge(death.Death(**{**usual, **changes}))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"asked_to_go": True, "code": 0}, death.Verdict.EXPECTED),
        ({}, death.Verdict.ROLL_BACK),
        ({"code": -signal.SIGSEGV}, death.Verdict.ROLL_BACK),
        ({"boot_failed": True, "served": None}, death.Verdict.ROLL_BACK),
        ({"boot_failed": True, "asked_to_go": True, "served": None}, death.Verdict.ROLL_BACK),
        ({"code": -signal.SIGKILL}, death.Verdict.REPLACE),
        ({"code": -signal.SIGKILL, "early_deaths": backoff.FREE + 1}, death.Verdict.ROLL_BACK),
        ({"failures": 1}, death.Verdict.REPLACE),
        ({"failures": 0, "served": None}, death.Verdict.ROLL_BACK),
        ({"failures": 0, "max_failures": 1}, death.Verdict.ROLL_BACK),
        ({"candidate": False}, death.Verdict.REPLACE),
        ({"candidate": False, "boot_failed": True}, death.Verdict.REPLACE),
    ],
)
def test_what_a_death_means(changes, verdict):
    assert judge(**changes) is verdict


@pytest.mark.parametrize(
    ("timeout", "busy", "limit"),
    [(60.0, True, 60.0), (60.0, False, 60.0), (1.0, True, 3.0), (1.0, False, 30.0)],
    ids=["request", "request, idle", "a few beats", "a few beats, idle"],
)
def test_how_long_a_worker_may_be_silent(timeout, busy, limit):
    assert heartbeat.limit(timeout, busy=busy) == limit


@pytest.mark.parametrize(
    ("silent", "dumped_ago", "verdict"),
    [
        (60.0, None, heartbeat.Verdict.FINE),
        (60.1, None, heartbeat.Verdict.DUMP),
        (60.5, 0.4, heartbeat.Verdict.WAIT),
        (61.1, 1.0, heartbeat.Verdict.KILL),
        (0.2, 1.0, heartbeat.Verdict.FINE),
    ],
)
def test_what_silence_means(silent, dumped_ago, verdict):
    assert heartbeat.judge(silent, 60.0, dumped_ago) is verdict


@pytest.mark.parametrize(
    ("stopped_at", "lost"), [(None, False), (10.0, False), (10.0 - stopped.PATIENCE, True), (0.0, True)]
)
def test_a_stopped_process_is_given_time_to_go_on(stopped_at, lost):
    assert stopped.is_lost(stopped_at, 10.0) is lost
    assert 2 * stopped.LOOK <= stopped.PATIENCE
    assert stopped.PATIENCE + stopped.LOOK < 5
