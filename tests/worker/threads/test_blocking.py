"""Which requests are expected to block."""

from __future__ import annotations

import threading
import time

from superwsgi.http.request.head import Request
from superwsgi.worker.threads.blocking import BLOCKED, KINDS, TARGETS, Blocking, Expectation, computed
from tests.worker.running import eventually


def request(path: str, method: str = "GET") -> Request:
    return Request(method, path.encode("latin-1"), "HTTP/1.1", {})


def learned(*blocked: bool) -> Expectation:
    expectation = Expectation()
    for each in blocked:
        expectation.learn(each)
    return expectation


def told_apart(path: str = "/slow") -> Blocking:
    """Requests of `path` have slept twice, beside others that did not."""
    blocking = Blocking()
    blocking.tell_apart(request(path))
    blocking.learn(blocking.of(request(path)), True)
    return blocking


def word(number: int) -> str:
    """A path that looks like one of its own."""
    return "/" + "".join("abcdefghij"[int(digit)] for digit in str(number))


class TestOneExpectation:
    def test_an_application_that_computes_is_not_expected_to_block(self):
        assert not learned(*[False] * 50).blocking

    def test_one_that_waits_is_soon_expected_to(self):
        assert learned(*[True] * 3).blocking

    def test_one_long_pause_in_many_says_nothing(self):
        assert not learned(*([False] * 20 + [True]) * 10).blocking


class TestKinds:
    def test_are_not_looked_for_before_one_sleeps(self):
        blocking = Blocking()
        assert blocking.of(request("/slow")) is blocking.all
        assert blocking.of(None) is blocking.all

    def test_a_kind_that_sleeps_is_expected_to_and_others_are_not(self):
        blocking = told_apart()
        assert blocking.of(request("/slow?page=2")).blocking
        assert not blocking.of(request("/quick")).blocking
        assert not blocking.of(request("/slow", "HEAD")).blocking

    def test_one_that_comes_new_is_expected_to_do_what_most_do(self):
        blocking = told_apart()
        for _ in range(8):
            blocking.learn(blocking.of(request("/slow")), True)
        assert blocking.of(request("/new")).blocking

    def test_quick_ones_are_soon_known_where_most_sleep(self):
        blocking = told_apart()
        for _ in range(50):
            blocking.learn(blocking.of(request("/slow")), True)
        for _ in range(12):
            blocking.learn(blocking.of(request("/quick")), False)
        assert blocking.of(request("/slow")).blocking
        assert not blocking.of(request("/quick")).blocking

    def test_are_forgotten_once_none_sleeps(self):
        blocking = told_apart()
        for _ in range(20):
            blocking.learn(blocking.of(request("/slow")), False)
        assert blocking.of(request("/slow")) is blocking.all

    def test_what_clients_make_up_is_bounded(self):
        blocking = told_apart()
        for number in range(2 * KINDS):
            blocking.of(request(word(number)))
        assert blocking.of(request("/other")) is blocking.all
        for number in range(2 * TARGETS):
            assert blocking.of(request(f"/slow?{number}")).blocking
        assert len(blocking._kinds) == KINDS
        assert len(blocking._targets) == TARGETS


class TestWhatACallSeemed:
    def test_nothing_is_asked_while_all_time_is_accounted_for(self):
        blocking = Blocking()
        assert blocking.waits() == -1
        assert blocking.seemed(BLOCKED, -1) is False
        assert blocking.waits() == -1

    def test_the_first_that_cannot_be_accounted_for_only_makes_us_look(self):
        blocking = Blocking()
        assert blocking.seemed(BLOCKED + 1, -1) is None
        assert blocking.waits() >= 0

    def test_who_has_waited_has_blocked(self):
        blocking = Blocking()
        blocking.seemed(BLOCKED + 1, -1)
        before = blocking.waits()
        time.sleep(0.001)
        assert blocking.seemed(BLOCKED + 1, before) is True

    def test_who_only_had_no_processor_has_not(self):
        """Another process had it: this thread has not waited for anything."""
        blocking = Blocking()
        blocking.seemed(BLOCKED + 1, -1)
        assert any(blocking.seemed(BLOCKED + 1, blocking.waits()) is False for _ in range(100))


def test_how_long_another_thread_has_computed():
    sleeper = threading.Thread(target=time.sleep, args=(0.2,))
    sleeper.start()
    assert sleeper.native_id is not None
    assert 0 < computed(sleeper.native_id) <= time.process_time_ns()
    sleeper.join()
    eventually(lambda: computed(sleeper.native_id or 0) == 0)
