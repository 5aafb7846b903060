"""Deaths, memory and silence: numbers in, verdict out."""

import signal

import pytest

from superwsgi.config.parts.paths import PathRule
from superwsgi.config.schema import Site
from superwsgi.master.policy import death
from superwsgi.master.policy.actions import DumpWorker, KillWorker, RecycleWorker
from superwsgi.master.policy.causes import Cause
from superwsgi.master.policy.limits import age, heartbeat, stopped
from superwsgi.master.policy.limits.memory import MemoryLimits, in_bytes


def test_the_first_early_deaths_are_replaced_at_once():
    assert [death.delay(n) for n in range(death.FREE + 1)] == [0.0] * (death.FREE + 1)


def test_then_the_wait_doubles_up_to_half_a_minute():
    assert death.delay(100_000) == death.LONGEST, "an outage may last"
    waits = [death.delay(death.FREE + n) for n in range(1, 12)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == death.LONGEST
    assert waits == sorted(waits)


@pytest.mark.parametrize(
    ("before", "served", "since_last", "after"),
    [
        (0, None, None, 1),
        (3, None, 0.1, 4),
        (3, 0.05, 0.1, 4),
        (3, death.EARLY, 0.1, 0),
        (3, 0.05, death.FORGET, 1),
    ],
)
def test_a_row_of_early_deaths(before, served, since_last, after):
    assert death.streak(before, served=served, since_last=since_last) == after


def test_an_application_that_dies_at_each_start_is_forked_seldom():
    """50 ms of life each, for eight seconds: a supervisor without back-off made 149 forks of it."""
    now, streak, forks = 0.0, 0, 0
    while now < 8.0:
        forks += 1
        now += 0.05
        streak = death.streak(streak, served=0.05, since_last=0.1)
        now += death.delay(streak)
    assert forks <= 12


def test_a_crash_loop_is_one_until_a_minute_after_the_last_early_death():
    crashes = death.Crashes()
    for now in range(death.FREE + 1):
        assert not crashes.looping(now)
        crashes.count(0.1, now, failed=False)
    assert crashes.looping(death.FREE)
    assert crashes.looping(death.FREE + death.FORGET - 1), "a worker that serves may not do so for long"
    assert not crashes.looping(death.FREE + death.FORGET)


@pytest.mark.parametrize(
    ("used", "action"), [(50, type(None)), (100, type(None)), (101, RecycleWorker), (201, KillWorker)]
)
def test_memory(used, action):
    assert type(MemoryLimits(soft=100, hard=200).decide(1, 7, used)) is action


def test_memory_without_limits():
    assert not MemoryLimits(None, None)
    assert MemoryLimits(None, None).decide(1, 7, 1 << 60) is None


def test_memory_in_words():
    limits, soft, hard = MemoryLimits(600 << 20, 700 << 20, "pss"), Cause.MEMORY_SOFT, Cause.MEMORY_HARD
    assert limits.decide(1, 7, 612 << 20) == RecycleWorker(1, 7, "memory.soft: pss 612M over 600M", soft)
    assert limits.decide(1, 7, 712 << 20) == KillWorker(1, 7, "memory.hard: pss 712M over 700M", hard)
    why = "grown 1.4M a request by GET /report since 14:02"
    assert limits.decide(1, 7, 612 << 20, why) == RecycleWorker(
        1, 7, f"memory.soft: pss 612M over 600M, {why}", soft
    )
    assert (limits.first, MemoryLimits(None, 7).first, MemoryLimits(None, None).first) == (600 << 20, 7, None)


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
    return death.judge(death.DeathView(**{**usual, **changes}))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"asked_to_go": True, "code": 0}, death.Verdict.EXPECTED),
        ({}, death.Verdict.ROLL_BACK),
        ({"code": -signal.SIGSEGV}, death.Verdict.ROLL_BACK),
        ({"boot_failed": True, "served": None}, death.Verdict.ROLL_BACK),
        ({"boot_failed": True, "asked_to_go": True, "served": None}, death.Verdict.ROLL_BACK),
        ({"code": -signal.SIGKILL}, death.Verdict.REPLACE),
        ({"code": -signal.SIGKILL, "early_deaths": death.FREE + 1}, death.Verdict.ROLL_BACK),
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
    ("targets", "seconds"),
    [
        ([], 60),
        (["/x", "/report", "/quick", "//reports"], 60),
        (["/x", "/reports/7?a=b"], 300),
        (["/%72eports"], 300),
        (["http://shop/reports/"], 300),
        (["/reports", "/v1"], 600),
    ],
)
def test_what_is_in_hand_may_give_it_more(targets, seconds):
    rules = {"/reports": 300.0, "/quick": 1.0, "api.example.com/v1": 600.0}
    paths = {path: PathRule(request=request) for path, request in rules.items()}
    site = Site(apps={"/": "a:b"}, name="site", paths={**paths, "/": PathRule(threads=1)})
    assert heartbeat.given(site, targets) == seconds


@pytest.mark.parametrize(
    ("silent", "dumped_ago", "action"),
    [
        (60.0, None, type(None)),
        (60.1, None, DumpWorker),
        (60.5, 0.4, type(None)),
        (61.1, 1.0, KillWorker),
        (0.2, 1.0, type(None)),
    ],
)
def test_what_silence_means(silent, dumped_ago, action):
    decided = heartbeat.decide(1, 7, silent=silent, limit=60.0, dumped_ago=dumped_ago)
    assert type(decided) is action
    if decided is not None:
        assert (decided.generation, decided.worker) == (1, 7)
        assert decided.reason.endswith(": something holds the GIL")


@pytest.mark.parametrize(
    ("stopped_at", "lost"), [(None, False), (10.0, False), (10.0 - stopped.PATIENCE, True), (0.0, True)]
)
def test_a_stopped_process_is_given_time_to_go_on(stopped_at, lost):
    assert stopped.is_lost(stopped_at, 10.0) is lost
    assert 2 * stopped.LOOK <= stopped.PATIENCE
    assert stopped.PATIENCE + stopped.LOOK < 5


@pytest.mark.parametrize(
    ("served", "drawn", "due"),
    [(99.9, 0.0, False), (100.0, 0.0, True), (119.9, 1.0, False), (120.0, 1.0, True)],
)
def test_a_worker_is_due_at_its_age_and_a_part_of_the_extra_share(served, drawn, due):
    action = age.decide(3, 7, served=served, limit=100.0, extra=0.2, drawn=drawn)
    assert (action is not None) == due
    if action is not None:
        assert (action.worker, action.cause) == (7, Cause.REQUESTS_AGE)
        assert action.reason.startswith("requests.age: has served for ")


def test_without_an_age_none_is_due():
    assert age.decide(3, 7, served=1e9, limit=0.0, extra=0.2, drawn=0.0) is None
