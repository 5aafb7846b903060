"""Keep or pass."""

from __future__ import annotations

import threading

from superwsgi.board.scoreboard import Scoreboard
from superwsgi.worker.threads.baton import Baton
from superwsgi.worker.threads.thread import WorkerThread
from tests.worker.running import eventually

MS = 1_000_000


def thread(number: int = 0) -> WorkerThread:
    return WorkerThread(number, Scoreboard.create(1, 2).writer(0).thread(number), lambda thread: None)


def test_the_holder_keeps_it_through_a_short_call():
    baton, holder = Baton(), thread()
    baton.take(holder)
    cpu = baton.before(holder)
    baton.after(holder, MS, cpu)
    assert holder.has_baton


def test_it_is_passed_before_a_call_that_will_block():
    baton, holder, next_one = Baton(), thread(), thread(1)
    for _ in range(5):
        baton.blocking.all.learn(True)
    baton.take(holder)
    cpu = baton.before(holder)
    assert not holder.has_baton
    baton.take(next_one)
    baton.after(holder, MS, cpu)
    assert next_one.has_baton
    assert not holder.has_baton


def test_the_monitor_takes_it_from_a_call_that_lasts():
    baton, holder, next_one = Baton(), thread(), thread(1)
    baton.start()
    baton.take(holder)
    baton.before(holder)
    taken = threading.Thread(target=baton.take, args=(next_one,), daemon=True)
    taken.start()
    taken.join(60)
    assert next_one.has_baton
    baton.after(holder, MS, 0)
    assert not holder.has_baton
    baton.stop()


class Waiting:
    """Threads that wait for a baton; each keeps it until the test is over."""

    def __init__(self, baton: Baton, count: int) -> None:
        self.baton = baton
        self.order: list[int] = []
        self.dismissed: list[int] = []
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._wait, args=(number,)) for number in range(count)]
        for number, runs in enumerate(self._threads):
            runs.start()
            eventually(lambda: len(baton._waiting) == number + 1)  # noqa: B023

    def _wait(self, number: int) -> None:
        one = thread()
        if not self.baton.take(one):
            self.dismissed.append(number)
            return
        self.order.append(number)
        self._over.wait(10)
        self.baton.give(one)

    def end(self) -> None:
        self._over.set()
        for runs in self._threads:
            runs.join(60)


def test_the_last_to_wait_is_the_first_to_run():
    baton, holder = Baton(), thread()
    baton.take(holder)
    waiting = Waiting(baton, 3)
    baton.give(holder)
    waiting.end()
    assert waiting.order == [2, 1, 0]


def test_who_is_there_first_takes_it_and_the_one_called_waits_again():
    baton, holder, other = Baton(), thread(), thread(1)
    baton.take(holder)
    waiting = Waiting(baton, 1)
    called = baton._called = baton._waiting.pop()  # and it does not get there
    baton.give(holder)
    assert baton.take(other)
    called.bell.release()
    eventually(lambda: baton._called is None and len(baton._waiting) == 1)
    assert waiting.order == []
    baton.give(other)
    waiting.end()
    assert waiting.order == [0]


def test_where_it_is_crowded_it_is_left_to_the_one_called():
    baton, holder, other = Baton(), thread(), thread(1)
    baton.take(holder)
    waiting = Waiting(baton, 1)
    called = baton._called = baton._waiting.pop()  # and it takes its time
    baton.give(holder)
    lies_down = threading.Thread(target=baton.take, args=(other, True), daemon=True)
    lies_down.start()
    eventually(lambda: len(baton._waiting) == 1)
    assert not other.has_baton
    called.bell.release()
    eventually(lambda: waiting.order == [0])
    waiting.end()
    lies_down.join(60)
    assert other.has_baton


def test_where_it_is_crowded_and_nobody_was_called_it_is_taken():
    baton, holder = Baton(), thread()
    assert baton.take(holder, True)


def test_the_one_that_has_waited_longest_can_be_dismissed():
    baton, holder = Baton(), thread()
    baton.take(holder)
    waiting = Waiting(baton, 2)
    since = baton.waited_since
    assert baton.dismiss(since - 1) is None
    assert baton.dismiss(since) is not None
    baton.give(holder)
    waiting.end()
    assert (waiting.dismissed, waiting.order) == ([0], [1])
    assert baton.waited_since == 0


def away(baton: Baton, holder: WorkerThread) -> None:
    """Enter the application with a request that is expected to wait."""
    for _ in range(5):
        baton.blocking.all.learn(True)
    baton.before(holder)


def test_no_other_is_called_while_the_one_that_passed_it_on_comes_back():
    baton, first, second = Baton(), thread(), thread(1)
    baton.take(first)
    waiting = Waiting(baton, 1)
    away(baton, first)  # and back: nothing is in the application
    eventually(lambda: waiting.order == [0])
    waiting.end()
    assert baton.take(second)
    others = Waiting(baton, 1)
    away(baton, second)
    assert len(baton._waiting) == 1
    assert baton.take(first)
    baton.give(first)
    others.end()
    assert others.order == [0]


def test_the_monitor_calls_one_if_it_does_not_come():
    baton, first, second = Baton(), thread(), thread(1)
    baton.take(first)
    away(baton, first)
    assert baton.take(second)
    waiting = Waiting(baton, 1)
    away(baton, second)
    assert len(baton._waiting) == 1
    baton.start()
    eventually(lambda: waiting.order == [0])
    waiting.end()
    baton.stop()


def test_one_that_waits_again_is_not_expected_back():
    one = thread()
    assert one.is_coming_back()
    one.waiting = True
    assert not one.is_coming_back()
