"""A leak is named only if it goes on after the garbage collector has run."""

import gc
import os
import time

import pytest

from superwsgi.worker.memory.trial import LeakTrial
from tests.e2e.daemon import wait_for
from tests.worker.memory.simulation import MIB, Page, looks


class Seen:
    """Stands where the watch does: what it has seen is given to it."""

    def __init__(self):
        self.news = os.eventfd(0, os.EFD_NONBLOCK)
        self.all = []
        self.grows = True

    def looks(self):
        return self.all


@pytest.fixture
def seen():
    made = Seen()
    yield made
    os.close(made.news)


@pytest.fixture
def said():
    return []


@pytest.fixture
def trial(seen, said):
    return LeakTrial(seen, said.append)


@pytest.fixture
def collections():
    """How often the collector ran in full."""
    before = gc.get_stats()[2]["collections"]
    return lambda: gc.get_stats()[2]["collections"] - before


def judge(trial, seen, shown):
    """It judges what is shown, once it may compute again."""
    seen.all = shown
    wait_for(lambda: not os.eventfd_write(seen.news, 1) and trial.judge(), "a judgement")


def later(found):
    """As if these had been seen after all that there was."""
    start = time.monotonic_ns()
    return [type(look)(start + look.at, *rest(look)) for look in found]


def rest(look):
    return look.resident, look.used, look.ended, look.in_hand, look.joined


def leak(requests=160):
    return looks({"GET /h": Page(lambda: MIB)}, requests)


def still():
    return looks({}, 160)


def test_it_is_named_once_it_goes_on(trial, seen, said, collections):
    judge(trial, seen, leak())
    assert (said, collections()) == ([], 1)
    judge(trial, seen, later(leak()))
    ((named,),) = [word.leaks for word in said]
    assert (named.kind, named.requests > 120, named.seconds >= 0) == ("GET /h", True, True)
    assert named.each == pytest.approx(MIB, rel=0.3)
    assert not named.proven, "it may be a cache that fills"


def test_more_than_a_cache_would_leave_is_said_at_once(trial, seen, said):
    judge(trial, seen, leak())
    judge(trial, seen, later(leak()))
    judge(trial, seen, leak(250))
    assert [one.proven for word in said for one in word.leaks] == [False, True]


def test_what_has_stopped_is_taken_back(trial, seen, said):
    judge(trial, seen, leak())
    judge(trial, seen, later(leak()))
    for _ in range(3):
        judge(trial, seen, still())
    assert [len(word.leaks) for word in said] == [1, 0]


def test_one_look_that_does_not_find_it_takes_nothing_back(trial, seen, said):
    judge(trial, seen, leak())
    judge(trial, seen, later(leak()))
    for shown in (still(), leak(), still(), still()):
        judge(trial, seen, shown)
    assert [len(word.leaks) for word in said] == [1]


@pytest.mark.parametrize(("requests", "left"), [(160, [1, 0]), (250, [1])], ids=["cache", "leak"])
def test_once_the_worker_grows_no_more_only_a_leak_is_remembered(trial, seen, said, requests, left):
    judge(trial, seen, leak(requests))
    judge(trial, seen, later(leak(requests)))
    seen.grows = False
    judge(trial, seen, leak(requests))
    assert [len(word.leaks) for word in said] == left


def test_it_leaves_the_time_to_others(trial, seen):
    """A worker may answer so much while it grows that there is always something to judge."""
    seen.all = looks({f"GET /{name}": Page() for name in "abcdefgh"}, 200)
    began, spent = time.monotonic(), []
    while len(spent) < 3:
        os.eventfd_write(seen.news, 1)
        before = time.thread_time()
        if trial.judge():
            spent.append(time.thread_time() - before)
            ended = time.monotonic()
    assert sum(spent[:-1]) < 0.04 * (ended - began)


def test_what_does_not_go_on_is_not_named_and_not_tried_again_at_once(trial, seen, said, collections):
    judge(trial, seen, leak())
    judge(trial, seen, later(looks({}, 160)))
    judge(trial, seen, leak())
    assert (said, collections()) == ([], 1)


def test_an_application_without_the_collector_stays_without(trial, seen, said, collections):
    gc.disable()
    try:
        judge(trial, seen, leak())
        judge(trial, seen, later(leak()))
    finally:
        gc.enable()
    assert (len(said), collections()) == (1, 0)
