"""Threads that do the same at the same time, as they do where there is no GIL: nothing is lost, told twice or
left in between. These run on every Python; where there is a GIL they prove little.
"""

from __future__ import annotations

import contextvars
import os
import threading
from collections import Counter
from collections.abc import Callable
from queue import SimpleQueue

import pytest

from superwsgi.board.counts import METHODS
from superwsgi.board.kind_table import more
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.config.sections import Elastic
from superwsgi.files.static import StaticFiles
from superwsgi.http.request.head import Request
from superwsgi.log.access import AccessLog
from superwsgi.log.error import ErrorLog
from superwsgi.log.rate_limit import SILENCE, Complaint
from superwsgi.log.streams import Lines
from superwsgi.worker.by_kind import ByKind
from superwsgi.worker.connection.alarm import Alarm
from superwsgi.worker.threads.baton import Baton
from superwsgi.worker.threads.pool import Pool
from superwsgi.worker.threads.thread import WorkerThread
from tests.fixtureapps.wsgi_paths import app
from tests.worker.running import eventually, running

THREADS = 4


def at_once(*works: Callable[[], object]) -> None:
    """Do all of these in threads that begin together; what one raises is raised."""
    begin, raised = threading.Barrier(len(works)), SimpleQueue()

    def run(work: Callable[[], object]) -> None:
        begin.wait(20)
        try:
            work()
        except BaseException as error:
            raised.put(error)

    threads = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    if not raised.empty():
        raise raised.get()


def often(times: int, work: Callable[[], object]) -> Callable[[], None]:
    def run() -> None:
        for _ in range(times):
            work()

    return run


@pytest.fixture
def board():
    board = Scoreboard.create(1, THREADS + 1)
    yield board
    os.close(board.fd)


class TestTheLogs:
    def test_a_complaint_is_made_once_a_minute_whoever_comes(self):
        said = []
        complaint = Complaint(lambda event, detail, **words: said.append(words), "too many")
        for minute in range(200):
            at = minute * SILENCE
            at_once(*[lambda at=at: complaint.make(at)] * THREADS)
        assert len(said) == 200
        assert all(words.get("times", 1) <= 2 * THREADS for words in said)

    def test_each_entry_that_the_access_log_dropped_is_counted(self, tmp_path):
        fd = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
        log = AccessLog(fd, "combined", ErrorLog(None, "info"), pid=1, worker=1, generation=1)
        at_once(*[often(8_000, lambda: log.log(None))] * THREADS)
        assert log._queue.qsize() + log._refused == 8_000 * THREADS
        os.close(fd)

    def test_lines_begun_are_said_once_at_the_end(self):
        said = SimpleQueue()
        lines = Lines(lambda stream, data: said.put(data))
        for _ in range(50):
            for thread in range(100):
                lines.begun[thread, "stdout"] = b"x"
            at_once(*[lines.flush_all] * THREADS)
        assert said.qsize() == 50 * 100


class TestFiles:
    def test_one_that_many_ask_for_at_once_is_kept_once(self, tmp_path):
        for number in range(50):
            (tmp_path / str(number)).write_bytes(b"x" * 1000)
        files = StaticFiles(app, {"/": str(tmp_path)}, lambda path: [], settled=-(10**12))

        def ask() -> None:
            for number in range(50):
                environ = {"PATH_INFO": f"/{number}", "REQUEST_METHOD": "GET"}
                b"".join(files.answer(environ, lambda status, fields: None))

        at_once(*[ask] * THREADS)
        assert len(files._known) == 50
        assert files.weight == sum(each.weight for each in files._known.values())


class TestTheBoard:
    def test_no_answer_counts_twice(self, board):
        by_kind, times = ByKind(board.writer(0).kind_table()), 10_000

        def ask() -> None:
            request = Request("GET", b"/", "HTTP/1.1", {})
            request.id = "1"
            for number in range(times):
                by_kind.count(request, 500 if number % 100 == 0 else 200, number)

        at_once(*[ask] * THREADS)
        (row,) = [row for row in more(b"", board.kind_table(0)) if row.failed or row.good]
        assert (METHODS[row.series.method], row.series.group) == ("GET", "/")
        assert row.failed == THREADS * times // 100
        assert row.good <= THREADS * times - row.failed

    def test_what_another_thread_shows_does_not_go_back(self, board):
        record, times = board.writer(0).thread(0), 5_000
        seen = []

        def answer() -> None:
            for number in range(1, times + 1):
                record.count(200, 0, 1, 1, 1)
                record.show_all()
                if board.counts(0).sent != number:
                    seen.append(number)

        at_once(answer, often(times, record.show_for_it))
        assert seen == []
        assert sum(board.counts(0).answers) == times

    def test_the_last_number_of_free_threads_is_the_right_one(self, board):
        alarm = Alarm()
        pool = Pool(
            Elastic(min=THREADS, max=THREADS, idle=60.0),
            board.writer(0),
            alarm,
            Complaint(lambda event, detail, **words: None, "no more threads"),
            lambda thread: None,
        )
        pool.start()

        def request() -> None:
            if pool.permit():
                pool.tell()
                pool.give_back()
                pool.tell()

        for _ in range(20):
            at_once(*[often(50, request)] * THREADS)
            assert len(pool.permits) == THREADS
            assert board.read(0).free == pool.free
        alarm.close_in_child()


class TestTheBaton:
    def test_one_thread_has_it_at_a_time_and_none_waits_for_ever(self, board):
        """Each enters the application with it, as often as it can; some calls last longer than a lease."""
        baton, times, holders = Baton(), 300, []
        together = Counter()
        baton.start()

        def live(number: int) -> None:
            thread = WorkerThread(number, board.writer(0).thread(number), lambda thread: None)
            for turn in range(times):
                while not thread.has_baton:
                    assert baton.take(thread)
                holders.append(number)
                together[len(holders)] += 1
                holders.pop()
                cpu = baton.before(thread)
                if turn % 50 == 0:
                    threading.Event().wait(0.005)
                baton.after(thread, 1000, cpu)
            if thread.has_baton:
                baton.give(thread)

        at_once(*[lambda number=number: live(number) for number in range(THREADS)])
        baton.stop()
        assert set(together) == {1}
        assert together[1] == times * THREADS


class TestAWorker:
    def test_requests_of_many_clients_are_answered_and_counted(self):
        clients, rounds, at_a_time = 8, 40, 5

        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [environ["PATH_INFO"].encode()]

        with running(app, threads=THREADS) as worker:

            def ask(number: int) -> None:
                with worker.connect() as client:
                    for turn in range(rounds):
                        paths = [f"/{number}/{turn}/{each}" for each in range(at_a_time)]
                        client.send(
                            b"".join(b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n" % p.encode() for p in paths)
                        )
                        assert [client.response()[2].decode() for _ in paths] == paths

            at_once(*[lambda number=number: ask(number) for number in range(clients)])
            wanted = clients * rounds * at_a_time
            eventually(lambda: sum(worker.counters.counts.answers) == wanted)
            eventually(lambda: worker.counters.connections == 0)
            assert worker.errors == ""

    def test_clients_that_come_and_go_leave_nothing(self):
        def app(environ, start_response):
            start_response("200 OK", [])
            return [b"x"]

        with running(app, threads=THREADS) as worker:

            def come() -> None:
                assert worker.fetch()[2] == b"x"
                worker.connect().sock.close()

            at_once(*[often(40, come)] * THREADS)
            eventually(lambda: worker.counters.connections == 0)
            assert sum(worker.counters.counts.answers) == 40 * THREADS
            assert worker.errors == ""

    def test_what_a_thread_that_was_given_up_had_counted_stays(self):
        """Its successor has its record, and goes on counting while it is away."""
        gate, all_in = threading.Event(), threading.Barrier(THREADS)

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/wait":
                gate.wait(20)
            else:
                all_in.wait(20)
            start_response("200 OK", [])
            return [b"x"]

        with running(app, threads=THREADS, request=1) as worker:
            assert worker.fetch("/wait")[0] == 504
            at_once(*[often(5, worker.fetch)] * THREADS)  # by all threads but one, each time by others
            eventually(lambda: sum(worker.counters.counts.answers) == 1 + 5 * THREADS)
            gate.set()
            eventually(lambda: worker.counters.abandoned == 0)
            assert sum(worker.counters.counts.answers) == 1 + 5 * THREADS


def test_a_thread_begins_without_what_was_left_in_the_one_that_starts_it(board):
    left = contextvars.ContextVar("left", default="nothing")
    left.set("by the application")
    found = SimpleQueue()
    thread = WorkerThread(0, board.writer(0).thread(0), lambda thread: found.put(left.get()))
    thread.start()
    assert found.get(timeout=60) == "nothing"
