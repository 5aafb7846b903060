"""How many threads there are, with threads that only wait for the baton."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace
from typing import Any, cast

import pytest

from superwsgi import build
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.config.sections import Elastic
from superwsgi.log.rate_limit import Complaint
from superwsgi.worker.connection.alarm import NEVER, SECOND, Alarm
from superwsgi.worker.threads import pool
from superwsgi.worker.threads.pool import FEWEST, SEVERAL, Pool
from superwsgi.worker.threads.thread import WorkerThread
from tests.worker.running import eventually

NOW = 10**18  # later than any time at which a thread began to wait


class Site:
    """A pool; what its threads are doing; what it complained of."""

    def __init__(self, least: int, most: int) -> None:
        self.board = Scoreboard.create(1, most + 1)
        self.alarm = Alarm()
        self.complaints: list[dict[str, object]] = []
        self.pool = Pool(
            Elastic(min=least, max=most, idle=2.0),
            self.board.writer(0),
            self.alarm,
            Complaint(lambda event, detail, **words: self.complaints.append(words), "no more threads"),
            self._wait,
        )
        self.ended: list[WorkerThread] = []

    def _wait(self, thread: WorkerThread) -> None:
        if self.pool.baton.take(thread):
            self.pool.baton.give(thread)  # at the end of the test, to the next one
        self.ended.append(thread)

    @property
    def waiting(self) -> int:
        return len(self.pool.baton._waiting)

    def take(self, count: int) -> None:
        """So many permits, and for each further thread because those that there are wait. On a busy machine
        they may seem to compute for a while."""
        for _ in range(count):
            eventually(self._permit)

    def _permit(self) -> bool:
        begin_requests(self.pool)
        return self.pool.permit()


@contextmanager
def site(least: int, most: int) -> Iterator[Site]:
    """The pool's first thread, which would poll, is this one."""
    made = Site(least, most)
    me = WorkerThread(99, made.board.writer(0).thread(0), lambda thread: None)
    made.pool.baton.take(me)
    with closing(made.board):
        yield made
        made.pool.baton.give(me)
        eventually(lambda: not any(thread.is_alive() for thread in made.pool))
        made.alarm.close_in_child()


@pytest.fixture
def elastic() -> Iterator[Site]:
    with site(2, 5) as made:
        made.pool.start()
        yield made


def test_it_begins_with_the_least_and_one_to_poll(elastic: Site) -> None:
    eventually(lambda: elastic.waiting == 3)
    assert (elastic.pool.size, elastic.pool.free, elastic.pool.busy) == (2, 5, False)


def test_of_many_threads_some_in_the_application_are_a_crowd() -> None:
    with site(2, 5) as made:
        pool, baton = made.pool, made.pool.baton
        baton._called = WorkerThread(98, made.board.writer(0).thread(1), lambda thread: None)
        for size, inside, crowded in ((513, 65, True), (513, 64, False), (512, 512, False)):
            pool.size = size
            pool.permits[:] = [None] * (size - inside)
            assert pool.crowded is crowded
        pool.size, pool.permits[:], baton._called = 513, [], None
        assert not pool.crowded, "who would be left with it, if nobody comes"
        pool.size = 0


def test_one_more_for_each_request_that_finds_none(elastic: Site) -> None:
    elastic.take(5)
    assert not elastic.pool.permit()
    assert (elastic.pool.size, elastic.pool.free, elastic.pool.busy) == (5, 0, True)
    eventually(lambda: elastic.waiting == 6)
    assert elastic.board.read(0).threads == 5


def test_a_fixed_number_stays_and_is_complete_at_once() -> None:
    with site(3, 3) as fixed:
        fixed.pool.start()
        assert fixed.pool.size == 3
        fixed.take(3)
        assert not fixed.pool.permit()
        assert fixed.pool.shrink(NOW) == NEVER
        assert fixed.pool.size == 3


def test_those_that_idle_end_but_not_the_least(elastic: Site) -> None:
    elastic.take(5)
    for _ in range(5):
        elastic.pool.give_back()
    eventually(lambda: elastic.waiting == 6)
    assert elastic.pool.shrink(NOW) == NEVER
    eventually(lambda: len(elastic.ended) == 3)
    assert (elastic.pool.size, elastic.pool.free, elastic.waiting) == (2, 5, 3)
    elastic.take(5)  # they are back when they are needed


def test_one_that_was_needed_lately_stays(elastic: Site) -> None:
    elastic.take(5)
    for _ in range(5):
        elastic.pool.give_back()
    eventually(lambda: elastic.waiting == 6)
    since = elastic.pool.baton.waited_since
    assert elastic.pool.shrink(since + SECOND) == since + 2 * SECOND
    assert elastic.pool.size == 5


def test_none_ends_while_all_are_in_the_application(elastic: Site) -> None:
    elastic.take(5)
    eventually(lambda: elastic.waiting == 6)
    assert elastic.pool.shrink(NOW) == NOW + 2 * SECOND
    assert elastic.pool.size == 5


def test_the_one_at_the_bottom_of_the_stack_ends_first(elastic: Site) -> None:
    eventually(lambda: elastic.waiting == 3)
    waiting = list(elastic.pool.baton._waiting)
    elastic.take(3)
    elastic.pool.give_back()
    eventually(lambda: elastic.waiting == 4)
    elastic.pool.shrink(NOW)
    eventually(lambda: elastic.ended == waiting[:1])


def test_one_that_is_written_off_is_replaced_and_keeps_its_number(elastic: Site) -> None:
    elastic.take(5)
    lost = list(elastic.pool)[1]
    elastic.pool.replace(lost)
    (new,) = [thread for thread in elastic.pool if thread.number == lost.number]
    assert new is not lost
    assert (elastic.pool.size, len(elastic.pool.permits)) == (5, 1)
    eventually(lambda: elastic.waiting == 7)


@contextmanager
def no_more_threads() -> Iterator[None]:
    """As where there is no memory for their stacks."""
    threading.stack_size(1 << 46)
    try:
        yield
    finally:
        threading.stack_size(0)


def test_where_the_system_gives_none_requests_wait_and_it_is_tried_again(elastic: Site) -> None:
    with no_more_threads():
        elastic.take(2)
        eventually(lambda: elastic.pool.permit() or elastic.complaints)
        elastic.pool.replace(next(iter(elastic.pool)))
        assert elastic.pool.size == 1
        (complaint,) = elastic.complaints
        assert (complaint["threads"], complaint["reason"]) == (2, "can't start new thread")
        assert "ulimit -u" in str(complaint["next"])
        assert elastic.pool.free == 0, "siblings that have threads are better placed"
        assert not elastic.pool.permit()
    eventually(elastic.pool.permit)


def test_and_not_before_a_while_has_passed(elastic: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if no request has begun for long: each try would cost whoever comes next."""
    if build.is_compiled():
        pytest.skip("compiled, the pool knows one time after which requests have stalled")
    elastic.take(2)
    with no_more_threads():
        eventually(lambda: elastic.pool.permit() or elastic.complaints)
    monkeypatch.setattr(pool, "STALLED", -60 * SECOND)
    until = elastic.pool._denied_until
    monkeypatch.setattr(pool, "time", SimpleNamespace(monotonic_ns=lambda: until - 1))
    assert not elastic.pool.permit()
    monkeypatch.setattr(pool, "time", SimpleNamespace(monotonic_ns=lambda: until))
    assert elastic.pool.permit()


@contextmanager
def computing(elastic: Site) -> Iterator[None]:
    """All its threads have begun a request just now, and one of them does not wait for anything."""
    done, begun = threading.Event(), threading.Event()

    def compute() -> None:
        begun.set()
        while not done.is_set():
            sum(range(1000))

    spinning = threading.Thread(target=compute)
    spinning.start()
    begun.wait()
    begin_requests(elastic.pool)
    try:
        yield
    finally:
        done.set()
        spinning.join()


def begin_requests(made: Pool) -> None:
    for thread in made:
        thread.record.begin(time.monotonic_ns(), "GET", b"/", "")


@pytest.fixture
def large() -> Iterator[Site]:
    """On a machine with more to do, a thread that computes may have to wait itself, and not be noticed: then
    one more is started."""
    with site(2, 50) as made:
        made.pool.start()
        yield made


def test_none_is_started_while_others_compute_unless_a_request_cannot_wait(large: Site) -> None:
    large.take(2)
    with computing(large):
        eventually(lambda: not large.pool.permit())
        assert large.pool.free == 0
        assert large.pool.look_at < NEVER, "the poller tries again then"
        size = large.pool.size
        assert large.pool.permit(at_once=True)
        assert large.pool.size == size + 1
    eventually(lambda: large.pool.permit() or large.pool.size == 50)


def test_those_that_compute_for_long_do_not_stop_all_others(large: Site) -> None:
    large.take(2)
    with computing(large):
        eventually(lambda: not large.pool.permit())
        size = large.pool.size
        eventually(large.pool.permit)
        assert large.pool.size == size + 1


def test_siblings_hear_when_the_first_one_is_free_again(elastic: Site) -> None:
    elastic.take(5)
    elastic.pool.tell()
    assert elastic.board.read(0).free == 0
    elastic.pool.give_back()
    assert elastic.board.read(0).free == 1
    elastic.pool.give_back()
    assert elastic.board.read(0).free == 1, "the poller says so in its next turn"
    elastic.pool.tell()
    assert elastic.board.read(0).free == 2


def test_starting_fewer_than_the_least_is_an_error() -> None:
    with site(2, 5) as made, no_more_threads(), pytest.raises(RuntimeError):
        made.pool.start()


class Application:
    """Stands where requests are in the application: the first of them wait, and all others compute. Whoever
    wants the GIL gets it late while any do."""

    def __init__(self, site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        self.pool = site.pool
        self.waiting = 0
        self.refusing = False
        self._clock = 0
        self._computing: list[int] = []
        monkeypatch.setattr(pool, "sleep_as_usual", lambda _: SECOND if self._computing else 0)
        monkeypatch.setattr(pool, "computed", self._computed)
        monkeypatch.setattr(pool, "_KNOWN", 0)
        monkeypatch.setattr(pool, "STALLED", 60 * SECOND)

    def let_in(self, most: int) -> int:
        """Requests as long as there is room, at most so many; returns how many."""
        for count in range(most):
            self.show()
            now = time.monotonic_ns()
            self.pool.limit(self.refusing, now, now)
            if not self.pool.permit():
                return count
        return most

    def show(self) -> None:
        inside = list(self.pool)[: self.pool.size - len(self.pool.permits)]
        for thread in inside:
            thread.connection = cast(Any, self)
            thread.record.began = time.monotonic_ns()
        self._computing = [thread.native_id for thread in inside[self.waiting :]]

    def _computed(self, native_id: int) -> int:
        self._clock += 1
        return self._clock if native_id in self._computing else 0


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Site, Application]]:
    if build.is_compiled():
        pytest.skip("compiled, the pool asks no other clock than the system's")
    with site(10, 10) as made:
        made.pool.start()
        eventually(lambda: all(thread.native_id for thread in made.pool))
        application = Application(made, monkeypatch)
        application.refusing = True
        yield made, application
        for thread in made.pool:
            thread.connection = None


def test_all_that_come_enter_while_nobody_is_late(full: tuple[Site, Application]) -> None:
    _, application = full
    application.refusing = False
    assert application.let_in(11) == 10


def test_while_some_are_refused_no_more_enter_than_can_compute(full: tuple[Site, Application]) -> None:
    made, application = full
    assert application.let_in(10) == FEWEST
    assert made.pool.free == 0
    made.pool.give_back()
    assert application.let_in(10) == 1


def test_threads_are_free_again_when_nobody_is_late_any_more(full: tuple[Site, Application]) -> None:
    made, application = full
    application.let_in(10)
    application.refusing = False
    assert application.let_in(1) == 1
    assert made.pool.free == 9 - FEWEST
    assert application.let_in(10) == 9 - FEWEST


def test_those_that_wait_take_nobodys_place(full: tuple[Site, Application]) -> None:
    _, application = full
    application.waiting = 5
    assert application.let_in(10) == 5 + FEWEST
    application.waiting = 10
    assert application.let_in(10) == 5 - FEWEST, "all that there are"


def test_what_computes_for_long_does_not_stop_all_others(
    full: tuple[Site, Application], monkeypatch: pytest.MonkeyPatch
) -> None:
    made, application = full
    assert application.let_in(10) == FEWEST
    monkeypatch.setattr(pool, "STALLED", -60 * SECOND)
    assert application.let_in(1) == 1
    monkeypatch.setattr(pool, "STALLED", 60 * SECOND)
    made.pool.give_back()
    assert application.let_in(10) == 1, "its place is kept"


def test_one_that_cannot_wait_is_let_in(full: tuple[Site, Application]) -> None:
    made, application = full
    application.let_in(10)
    assert made.pool.permit(at_once=True)


AGE = SECOND // 2
"""For which requests may wait."""


class TestBeforeAnybodyIsRefused:
    """Ten threads, fixed or elastic; requests come, of which `left` leave in each tenth of a second that goes
    by."""

    @pytest.fixture(params=[(10, 10), (SEVERAL, 10)], ids=["fixed", "elastic"])
    def made(self, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
        if build.is_compiled():
            pytest.skip("compiled, the pool asks no other clock than the system's")
        with site(*request.param) as made:
            made.pool.start()
            eventually(lambda: all(thread.native_id for thread in made.pool))
            made.pool.queue_age = AGE
            self.application = Application(made, monkeypatch)
            assert self.application.let_in(SEVERAL) == SEVERAL
            self.application.show()
            self.now = time.monotonic_ns()
            monkeypatch.setattr(pool, "time", self)
            yield made
            for thread in made.pool:
                thread.connection = None

    def monotonic_ns(self) -> int:
        return self.now

    def goes_on(self, made: Site, *, left: int = 0) -> bool:
        """For half a second; returns whether only few may compute then."""
        for _ in range(5):
            if made.pool.permit():
                made.pool.give_back()
                made.pool._left -= 1
            self.now += SECOND // 10
            made.pool._left += left
            made.pool.limit(False, self.now, self.now)
        return made.pool.few == FEWEST

    def test_few_compute_from_when_it_takes_long_to_leave(self, made: Site) -> None:
        assert self.goes_on(made, left=1)
        assert not made.pool.permit()
        assert made.pool.look_at < NEVER, "the poller tries again then"

    def test_not_where_they_leave_soon(self, made: Site) -> None:
        assert not self.goes_on(made, left=5)

    def test_nor_where_requests_may_wait_for_long(self, made: Site) -> None:
        made.pool.queue_age = 5 * SECOND
        assert not self.goes_on(made, left=1)
        made.pool.queue_age = NEVER
        assert not self.goes_on(made, left=0)

    def test_nor_because_of_those_that_wait(self, made: Site) -> None:
        self.application.waiting = 2
        self.application.show()
        assert not self.goes_on(made)

    def test_the_pace_is_that_of_now(self, made: Site) -> None:
        assert not self.goes_on(made, left=10)
        assert self.goes_on(made, left=0)

    def test_at_once(self, made: Site, monkeypatch: pytest.MonkeyPatch) -> None:
        """Not only from the next probe on."""
        monkeypatch.setattr(pool, "_KNOWN", 60 * SECOND)
        made.pool._probe()
        made.pool.permit()
        self.now += SECOND // 2
        assert not made.pool.permit()

    def test_as_long_as_the_first_in_the_queue_has_waited_for_a_while(self, made: Site) -> None:
        assert self.goes_on(made)
        until = made.pool._late_until
        made.pool.limit(False, until - 2, until - 1)
        assert made.pool._late_until == until
        made.pool.limit(False, until - 1 - AGE, until - 1)
        assert made.pool._late_until == until - 1 + AGE
        made.pool.limit(False, until, until + AGE)
        assert made.pool.few == made.pool.most

    def test_until_they_do_not_compute_any_more(self, made: Site) -> None:
        assert self.goes_on(made)
        self.now += AGE
        self.application.waiting = 10
        self.application.show()
        assert made.pool.permit()
        assert made.pool.few == made.pool.most, "though nobody waits in the queue"

    def test_what_takes_long_whoever_else_is_there_keeps_nobody_out(
        self, made: Site, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One quick request after another is let in beside it."""
        assert self.goes_on(made)
        monkeypatch.setattr(pool, "STALLED", AGE)
        self.now += 10 * AGE
        for _ in range(5):
            assert made.pool.permit()
            made.pool.give_back()

    def test_unless_some_are_refused(self, made: Site) -> None:
        made.pool.limit(True, self.now, self.now)
        self.now += 30 * SECOND
        assert not made.pool.permit()
