"""The last hour: what is kept, at which resolution, and that no death of a writer loses it."""

import itertools
import os

import msgspec
import pytest

from superwsgi.admin.charts.history import COARSE, COLUMNS, FINE, MARKS, Areas, ChartMark, History
from superwsgi.board.counts import BOUNDS, BUCKETS
from superwsgi.control import Snapshot
from superwsgi.snapshot import ThreadsStatus, TotalsStatus, WorkerStatus

SIZE = 8 << 20


@pytest.fixture
def memory():
    fd = os.memfd_create("history")
    os.ftruncate(fd, SIZE)
    yield fd
    os.close(fd)


@pytest.fixture
def clock():
    """Unix time, in its first item."""
    return [1.8e9]


def snapshot(requests=0, failures=0, *, slow=0, workers=(), generation=1, threads=None):
    latency = [0] * BUCKETS
    latency[BOUNDS.index(0.01)], latency[BOUNDS.index(2.5)] = requests - slow, slow
    return Snapshot(
        site="shop", program="1", pid=1, uptime=1.0, phase="running", generation=generation, candidate=None,
        wanted=1, addresses=[], trouble="", workers=list(workers), threads=threads or ThreadsStatus(),
        totals=TotalsStatus(
            requests=requests, answers={"2xx": requests - failures, "5xx": failures}, refused={}, accepted=0,
            turned_away=0, sent=0, time=0.0, app_time=0.0, bounds=list(BOUNDS), latency=latency,
            app_latency=latency,
        ),
    )  # fmt: skip


def shown(history):
    said = msgspec.json.decode(history.shown())
    assert said["columns"] == COLUMNS
    return said, [dict(zip(COLUMNS, row, strict=True)) for row in said["samples"]]


def opened(memory, clock=(1.8e9,)):
    return History(Areas(memory), lambda *_: (), lambda: clock[0])


class TestAreas:
    def test_nothing_at_first(self, memory):
        assert Areas(memory).read() is None

    def test_the_last_that_was_written(self, memory):
        areas = Areas(memory)
        for number in range(5):
            assert areas.write(b"%d" % number)
            assert Areas(memory).read() == b"%d" % number

    def test_a_writer_that_goes_on(self, memory):
        Areas(memory).write(b"one")
        Areas(memory).read()
        again = Areas(memory)
        assert again.read() == b"one"
        again.write(b"two")
        assert Areas(memory).read() == b"two"

    @pytest.mark.parametrize("torn", [*range(1, 40), 100, 1000, 1027])
    def test_one_that_dies_while_it_writes_loses_nothing(self, memory, torn):
        """After each number of bytes of the new content, whatever stood there before."""
        areas = Areas(memory)
        areas.write(b"old" * 400)
        areas.write(b"kept" * 300)
        before = os.pread(memory, SIZE, 0)
        areas.write(b"new!" * 250)
        after = os.pread(memory, SIZE, 0)
        at = next(index for index, byte in enumerate(after) if byte != before[index])
        os.pwrite(memory, before, 0)
        os.pwrite(memory, after[: at + torn][at:], at)
        assert Areas(memory).read() in (b"kept" * 300, b"new!" * 250)
        if torn < 1000:
            assert Areas(memory).read() == b"kept" * 300

    def test_what_does_not_fit_is_not_written(self, memory):
        areas = Areas(memory)
        areas.write(b"kept")
        assert not areas.write(bytes(SIZE // 2))
        assert Areas(memory).read() == b"kept"

    @pytest.mark.parametrize("junk", [b"\xff" * 64, b"SWSGIHI9" + b"\xff" * 56, b"SWSGIHI1" + b"\xff" * 56])
    def test_anything_else_is_nothing(self, memory, junk):
        os.pwrite(memory, junk, 0)
        os.pwrite(memory, junk, SIZE // 2)
        assert Areas(memory).read() is None

    def test_content_of_something_else_begins_anew(self, memory):
        Areas(memory).write(msgspec.msgpack.encode({"fine": "what"}))
        assert shown(opened(memory))[1] == []


class TestSamples:
    def test_what_is_new_in_each(self, memory):
        history = opened(memory)
        history.note(snapshot(100), 1000.0)
        history.note(snapshot(150, failures=4, slow=5, threads=ThreadsStatus(3, 8, 32, 2)), 1002.0)
        _, (first, second) = shown(history)
        assert (first["rate"], first["p50"]) == (0.0, None)
        assert (second["rate"], second["errors"], second["queued"]) == (25.0, 2.0, 2)
        assert (second["busy"], second["threads"], second["generation"]) == (3, 8, 1)
        assert 0.005 < second["p50"] <= 0.01 < second["p95"] <= second["p99"] <= 2.5

    def test_the_next_process_goes_on(self, memory):
        """The requests that were answered while there was none are in its first sample."""
        opened_first = opened(memory)
        opened_first.note(snapshot(100), 1000.0)
        opened_first.note(snapshot(200), 1001.0)
        second = opened(memory)
        second.note(snapshot(600), 1005.0)
        assert [each["rate"] for each in shown(second)[1]] == [0.0, 100.0, 100.0]

    @pytest.mark.parametrize(
        "forged",
        [
            {"fine": [[None] * len(COLUMNS)]},
            {"fine": [["soon", *[0.0] * (len(COLUMNS) - 1)]]},
            {"coarse": [[1.0]]},
            {"workers": {"1": {"t": [1.0], "rss": [], "cpu": []}}},
            {"marks": [{"t": "soon", "kind": "death", "text": "died"}]},
        ],
        ids=["nothing", "text", "short", "uneven", "mark"],
    )
    def test_what_a_process_has_left_that_was_taken_over_is_no_history(self, memory, forged):
        Areas(memory).write(msgspec.msgpack.encode(forged))
        history = opened(memory)
        for second in range(12):
            history.note(snapshot(second, workers=[WorkerStatus(1, 1, "serving", 7)]), float(second))
        said, samples = shown(history)
        assert len(samples) == 12
        assert said["marks"] == []

    def test_counts_that_begin_anew_are_no_rate(self, memory):
        history = opened(memory)
        history.note(snapshot(100), 1000.0)
        history.note(snapshot(10), 1001.0)
        history.note(snapshot(20), 1002.0)
        assert [each["rate"] for each in shown(history)[1]] == [0.0, 0.0, 10.0]

    def test_an_hour_at_falling_resolution(self, memory, clock):
        """A second each for five minutes, and ten before; nothing is there twice."""
        history = opened(memory, clock)
        for second in range(4000):
            clock[0] += 1
            history.note(snapshot(second * 7), 1000.0 + second)
        said, samples = shown(history)
        times = [each["t"] for each in samples]
        steps = [round(later - sooner) for sooner, later in itertools.pairwise(times)]
        assert len(times) <= FINE + COARSE
        assert sorted(times) == times
        assert set(steps[-FINE + 1 :]) == {1}
        assert max(steps) <= 11
        assert 3400 < times[-1] - times[0] <= 3700
        assert {each["rate"] for each in samples[1:]} == {7.0}
        assert said["now"] == clock[0]

    def test_workers(self, memory, clock):
        history = opened(memory, clock)
        workers = [
            WorkerStatus(1, 1, "draining", pid=7, rss=1, cpu=1.0),
            WorkerStatus(1, 2, "serving", pid=8, rss=2000, cpu=0.51234),
            WorkerStatus(2, 2, "missing"),
        ]
        for second in range(25):
            clock[0] += 1
            history.note(snapshot(workers=workers), 1000.0 + second)
        said, _ = shown(history)
        assert set(said["workers"]) == {"1"}
        assert said["workers"]["1"]["rss"] == [2000, 2000]
        assert said["workers"]["1"]["cpu"] == [0.512, 0.512]

    def test_many_marks_of_one_kind_do_not_displace_others(self, memory):
        marks = [[ChartMark(1.0, "reload", "generation 2"), ChartMark(1.0, "death", "worker 1")]]
        marks += [[ChartMark(2.0 + each, "incident", str(each))] for each in range(MARKS)]
        history = History(Areas(memory), lambda *_: marks.pop(0))
        for second in range(len(marks)):
            history.note(snapshot(), 1000.0 + second)
        kept = shown(history)[0]["marks"]
        assert len(kept) == MARKS
        assert [mark["text"] for mark in kept[:3]] == ["generation 2", "worker 1", "2"]

    def test_what_is_new(self, memory, clock):
        history = opened(memory, clock)
        for second in range(25):
            clock[0] += 1
            workers = [WorkerStatus(1, 1, "serving", pid=7, rss=second, cpu=1.0)]
            history.note(snapshot(workers=workers), 1000.0 + second)
        _, all_of_it = shown(history)
        told = msgspec.json.decode(history.shown(all_of_it[-3]["t"]))
        assert [row[0] for row in told["samples"]] == [each["t"] for each in all_of_it[-2:]]
        assert len(told["workers"]["1"]["t"]) <= 1
        assert msgspec.json.decode(history.shown(clock[0] + 1))["samples"] == []
