"""The scoreboard: what a writer writes a reader reads, through another mapping of the same memory."""

import dataclasses
import fcntl
import os
import time

import pytest

from superwsgi.board import counts, layout, scoreboard
from superwsgi.board.scoreboard import Scoreboard
from superwsgi.board.thread_record import ThreadWriter

GET = counts.NUMBERS["GET"]


@pytest.fixture
def board():
    board = Scoreboard.create(slots=3, threads=2)
    yield board
    os.close(board.fd)


def test_worker_fields_round_trip(board):
    writer = board.writer(1)
    single = [name for name, words in layout.WORKER.items() if words == 1]
    for value, name in enumerate(single, start=1):
        writer.set(name, value)
    read = Scoreboard.attach(board.fd, 2).read(1)
    names = [field.name for field in dataclasses.fields(read)]
    told = {**{name: getattr(read, name) for name in names}, "accepted": read.counts.accepted}
    told["turned_away"] = read.counts.turned_away
    told["unlogged"] = read.counts.unlogged
    told["quarantined"] = read.counts.quarantined
    told["not_upgraded"] = read.counts.not_upgraded
    told["shed"] = read.counts.shed
    told["upgrades"] = read.counts.upgrades
    unread = ("accepting", "heartbeat", "waiting_since", "gated_since", "records", "counting")
    names = [n for n in single if n not in unread]
    assert [told[n] for n in names] == [single.index(n) + 1 for n in names]
    assert read.accepting is True
    assert board.read(0).pid == board.read(2).pid == 0, "a slot's neighbours are left alone"


def test_a_request_in_hand(board):
    board.writer(0).thread(1).begin(5_000_000_000, "GET", b"/orders/7", "3f-1")
    board.writer(0).thread(1).run_by(77)
    (seen,) = board.read(0).in_flight
    assert seen == counts.InFlight(1, 77, 5.0, "GET", "/orders/7", "3f-1")


class TestThousands:
    """Of threads that there may be, while few are there: only those are looked at."""

    @pytest.fixture
    def board(self):
        board = Scoreboard.create(slots=2, threads=30_001)
        yield board
        os.close(board.fd)

    def test_greenlets_count_in_one_record(self, board):
        writer = board.writer(1)
        poller = writer.thread(0)
        for number in (1, 2):
            writer.greenlet(number).begin(1, "GET", b"/", "")
            poller.count(200, GET, 5, 1, 1)
        poller.show()
        assert (board.counts(1).requests, board.counts(1).sent) == (2, 10)
        assert [seen.thread for seen in board.read(1).in_flight] == [1, 2]
        assert board.pulse(1)[1]
        assert board.read(0).requests == 0

    def test_threads_each_in_their_own(self, board):
        for number in (0, 30_000):
            thread = board.writer(0).thread(number)
            thread.count(200, GET, 5, 1, 1)
            thread.show_all()
        board.writer(0).thread(7)
        assert board.counts(0).requests == 2

    def test_nothing_is_left_for_the_next_worker(self, board):
        writer = board.writer(0)
        writer.thread(1).begin(1, "GET", b"/", "")
        writer.count(200, GET, 5, 1, 1)
        writer.kind_table()
        before = board.kind_table(1)
        board.clear(0)
        writer = board.writer(0)
        writer.greenlet(30_000)
        writer.thread(30_000)
        assert (board.counts(0).requests, board.in_flight(0), board.kind_table(0)) == (0, (), before)

    def test_looking_at_few_costs_little(self, board):
        """However many there may be: looking at all takes some 0.1 s."""
        board.writer(0).thread(0)
        began = time.process_time()
        for _ in range(20):
            board.clear(0)
            board.read(0)
            board.pulse(0)
        assert time.process_time() - began < 0.5


def test_a_pulse(board):
    assert board.pulse(1) == (0.0, False)
    board.writer(1).set("heartbeat", 2_500_000_000)
    board.writer(1).thread(0).begin(1, "GET", b"/", "")
    assert board.pulse(1) == (2.5, True)
    assert board.pulse(0) == (0.0, False)


def test_a_request_done(board):
    thread = board.writer(0).thread(0)
    for status in (200, 204, 302, 404, 499, 503, 7):
        thread.begin(1, "GET", b"/", "")
        thread.count(status, GET, 100, 3_000_000, 12_000_000)
        thread.end()
    assert board.counts(0).requests == 0, "they are shown together"
    thread.show()
    read = board.read(0)
    assert (read.requests, read.counts.sent, read.in_flight) == (7, 700, ())
    assert read.counts.classes == (2, 1, 2, 2), "what is no status is the server's failure"
    assert (read.counts.app_time, read.counts.time) == (pytest.approx(0.021), pytest.approx(0.084))
    assert [counts.BOUNDS[b] for b, count in enumerate(read.counts.app_latency) if count] == [0.005]
    assert [counts.BOUNDS[b] for b, count in enumerate(read.counts.latency) if count] == [0.025]
    assert board.counts(0).requests == 7


@pytest.mark.parametrize("show", [ThreadWriter.show, ThreadWriter.show_all])
def test_answers_by_method(board, show):
    thread = board.writer(0).thread(0)
    for number in range(len(counts.METHODS)):
        for status in (200, 204, 302, 404, 503)[: number + 1]:
            thread.count(status, number, 1, 2, 3)
    board.writer(0).refuse(400, counts.OTHER_METHOD, 1, 1)
    show(thread)
    read = board.counts(0)
    assert read.answers[:8] == (1, 0, 0, 0, 2, 0, 0, 0)
    assert read.answers[-8:] == (2, 1, 1, 1, 2, 1, 2, 1)
    assert (sum(read.answers), sum(read.latency), sum(read.app_latency)) == (31, 31, 30)


@pytest.mark.parametrize("bucket", range(counts.BUCKETS))
def test_buckets_of_latency(board, bucket):
    """A bound belongs to the bucket below it, as in Prometheus."""
    bounds = [round(bound * 1e9) for bound in counts.BOUNDS]
    inside = bounds[bucket] if bucket < len(bounds) else bounds[-1] + 1
    thread = board.writer(0).thread(0)
    thread.count(200, GET, 0, inside, 0)
    thread.show()
    assert board.counts(0).app_latency.index(1) == bucket
    assert board.counts(0).latency[0] == 1


def test_answers_that_no_thread_waits_for(board):
    writer = board.writer(0)
    for status in (503, 503, 429, 418, 500):
        writer.refuse(status, counts.OTHER_METHOD, 10, 0)
    writer.add("sending", 2)
    writer.count(200, GET, 5, 1, 1)
    writer.add("sending", -1)
    read = board.read(0)
    refused = dict(zip(counts.REFUSED, read.counts.refused, strict=True))
    assert {status: count for status, count in refused.items() if count} == {400: 1, 429: 1, 501: 1, 503: 2}
    assert (read.requests, read.counts.classes, read.sending) == (6, (1, 0, 2, 3), 1)
    assert sum(read.counts.app_latency) == 1, "the application has not seen what was refused"


def test_counts_add_up(board):
    for slot in (0, 1):
        thread = board.writer(slot).thread(0)
        thread.count(200, GET, 1, 1, 1)
        thread.show_all()
        board.writer(slot).refuse(503, GET, 1, 1)
    both = board.counts(0) + board.counts(1)
    assert (both.requests, both.failures, both.sent) == (4, 2, 4)
    assert both - board.counts(1) == board.counts(0)


def test_long_paths_and_methods_are_cut(board):
    board.writer(0).thread(0).begin(1, "M" * 99, b"/" + b"p" * 999, "i" * 999)
    (seen,) = board.read(0).in_flight
    assert len(seen.method) == layout.METHOD_BYTES
    assert len(seen.path) == layout.PATH_BYTES
    assert len(seen.id) == layout.ID_BYTES


def test_a_shorter_path_leaves_nothing_of_a_longer_one(board):
    thread = board.writer(0).thread(0)
    thread.begin(1, "DELETE", b"/a/long/path", "")
    thread.begin(1, "GET", b"/b", "")
    assert [(r.method, r.path) for r in board.read(0).in_flight] == [("GET", "/b")]


def test_clearing_a_slot(board):
    board.writer(1).set("connections", 9)
    board.writer(1).thread(1).begin(1, "GET", b"/", "")
    board.clear(1)
    assert board.read(1).connections == 0
    assert board.read(1).in_flight == ()


def test_peers_are_the_others_that_accept(board):
    for slot, connections in ((0, 4), (1, 7), (2, 9)):
        board.writer(slot).set("connections", connections)
        board.writer(slot).set("accepting", slot != 1)
        board.writer(slot).set("free", 2)
    assert list(board.writer(0).peers()) == [(9, 2)]


def test_something_else_is_not_taken_for_a_scoreboard(tmp_path):
    for content in (b"", b"\0" * 4096):
        (tmp_path / "other").write_bytes(content)
        with (tmp_path / "other").open("r+b") as other, pytest.raises(ValueError, match="not a scoreboard"):
            Scoreboard.attach(other.fileno(), 2)


def test_another_version_is_refused(board):
    with pytest.raises(ValueError, match="scoreboard version"):
        Scoreboard.attach(board.fd, 2, scoreboard.VERSION + 1)


class TestHostile:
    """Application code in a worker can write whatever it likes wherever it likes."""

    def test_nobody_changes_its_size(self, board):
        for size in (0, 4096, 1 << 20):
            with pytest.raises(PermissionError):
                os.ftruncate(board.fd, size)
        with pytest.raises(PermissionError):
            fcntl.fcntl(board.fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
        assert board.read(0).requests == 0

    @pytest.mark.parametrize("fill", [b"\xff", b"\x01", b"\x1b"])
    def test_numbers_and_texts_that_cannot_be(self, board, fill):
        board.bytes[:] = fill * len(board.bytes)
        for slot in range(board.slots):
            read = board.read(slot)
            told = read.counts
            numbers = [
                *told.latency,
                *told.refused,
                *told.answers,
                told.sent,
                read.connections,
                read.busy,
            ]
            assert all(0 <= number < 1 << 63 for number in numbers)
            assert board.counts(slot).requests > 0
            assert len(read.in_flight) <= board.threads
            assert board.pulse(slot)[1]
            assert len(list(board.peers(slot))) == board.slots - 1

    @pytest.mark.parametrize("before", [True, False], ids=["before", "meanwhile"])
    def test_a_thread_counts_on(self, board, before):
        thread = None if before else board.writer(0).thread(0)
        board.bytes[:] = b"\xff" * len(board.bytes)
        thread = thread or board.writer(0).thread(0)
        for _ in range(2):
            thread.begin(1_000_000_000, "GET", b"/", "")
            thread.count(200, GET, 100, 3_000_000, 3_000_000)
            thread.end()
        thread.show()
        assert board.read(0).requests > 0

    def test_nobody_needs_the_header(self, board):
        board.bytes[:32] = b"\xff" * 32
        attached = Scoreboard.attach(board.fd, 2)
        assert (attached.slots, attached.threads) == (3, 2)

    def test_memory_that_is_not_sealed(self, board):
        fd = os.memfd_create("other", os.MFD_ALLOW_SEALING)
        os.write(fd, bytes(board.bytes))
        with pytest.raises(ValueError, match="not sealed memory"):
            Scoreboard.attach(fd, 2)
        os.close(fd)


def test_no_two_slots_share_a_line_of_a_cache():
    for threads in (1, 2, 9):
        board = Scoreboard.create(3, threads)
        starts = [board._slot_at(slot) * layout.WORD for slot in range(3)]
        assert [start % (layout.LINE_WORDS * layout.WORD) for start in starts] == [0, 0, 0]
        board.close()
