"""Sampling the threads of a loop in this process. The command: tests/e2e/test_profile.py."""

import os
import threading
import time

import msgspec
import pytest

from superwsgi import build
from superwsgi.messages import SampleThreads
from superwsgi.samples import Sampled, is_consistent
from superwsgi.worker.threads.sampler import Sampler, _DueTimes, cpu_time, is_below
from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.tools import reads_frames
from tests.worker.running import eventually, running


class Profiled:
    """What a sampler says of a loop."""

    def __init__(self, loop, **order):
        self.ours, theirs = os.pipe()
        self.sampler = Sampler(
            SampleThreads(**{"seconds": 0.3, "rate": 200.0, **order}), theirs, loop.serving
        )

    def start(self, last=None):
        self.sampler.start(last)
        return self

    def said(self):
        with open(self.ours, "rb") as pipe:
            raw = pipe.read()
        sampled = msgspec.json.decode(raw, type=Sampled)
        assert raw.endswith(b"\n")
        assert is_consistent(sampled)
        return sampled


def lines(sampled):
    """The seconds of each stack, as text."""
    return {
        ";".join(
            [sampled.groups[stack.group], *(sampled.frames[at].function for at in stack.frames)]
        ): stack.seconds
        for stack in sampled.stacks
    }


@pytest.fixture
def waiting():
    """A loop in which one request waits."""
    with running(app, threads=3) as worker, worker.connect() as client:
        client.get("/wait?x=1")
        assert inside.acquire(timeout=60)
        yield worker
        gate.set()
        assert client.response()[0] == 200


@reads_frames
def test_where_a_request_waits(waiting):
    sampled = Profiled(waiting.loop).start().said()
    assert sampled.groups == ["GET /wait"]
    assert sum(stack.seconds for stack in sampled.stacks) == pytest.approx(sampled.seconds, rel=0.01)
    assert sampled.seconds >= 0.3
    assert 0 < sampled.taken <= sampled.due
    assert 0 <= sampled.late <= sampled.latest
    assert all("superwsgi/worker" not in frame.file for frame in sampled.frames)
    (stack,) = lines(sampled)
    assert stack.endswith((";Event.wait;Condition.wait", ";wait;wait"))


@reads_frames
@pytest.mark.parametrize(
    ("path", "found"), [("/", True), ("/wait", True), ("/wa", False), ("/wait/1", False)]
)
def test_only_some_paths(waiting, path, found):
    assert bool(Profiled(waiting.loop, path=path, seconds=0.1).start().said().stacks) is found


@reads_frames
def test_who_waits_does_not_compute(waiting):
    sampled = Profiled(waiting.loop, cpu=True).start().said()
    assert sum(stack.seconds for stack in sampled.stacks) < 0.1 * sampled.seconds


def test_it_ends_when_nobody_reads(waiting):
    profiled = Profiled(waiting.loop, seconds=300.0).start()
    os.close(profiled.ours)
    eventually(lambda: "superwsgi-profile" not in [each.name for each in threading.enumerate()])


@reads_frames
def test_it_tells_what_it_has_when_it_has_to_end(waiting):
    profiled = Profiled(waiting.loop, seconds=300.0).start()
    profiled.sampler.end("the worker ended", 10.0)
    sampled = profiled.said()
    assert sampled.cut == "the worker ended"
    assert sampled.seconds < 300


@reads_frames
def test_another_one_ends_it(waiting):
    first = Profiled(waiting.loop, seconds=300.0).start()
    second = Profiled(waiting.loop, seconds=0.1).start(first.sampler)
    assert first.said().cut == "another profile was begun"
    assert second.said().cut == ""


@pytest.mark.skipif(build.has_gil(), reason="there is a GIL")
def test_without_the_gil_it_says_why_there_is_nothing(waiting):
    sampled = Profiled(waiting.loop).start().said()
    assert sampled.cut.startswith("free-threaded: ")
    assert sampled.stacks == []


def test_the_clock_of_a_thread():
    native = threading.get_native_id()
    before = cpu_time(native)
    while time.thread_time_ns() < before + 2_000_000:
        pass
    assert before < cpu_time(native) <= time.thread_time_ns()
    ended = threading.Thread(target=lambda: None)
    ended.start()
    ended.join()
    eventually(lambda: cpu_time(ended.native_id) == 0)


@pytest.mark.parametrize(
    ("path", "prefix", "below"),
    [
        ("/report", None, True),
        ("/report", "/report", True),
        ("/report/", "/report", True),
        ("/report/7", "/report/", True),
        ("/reports", "/report", False),
        ("/", "/report", False),
        ("/any", "/", True),
        ("/gr%C3%B6%C3%9Fe/7", "/größe", True),
        ("/größe", "/gr%C3%B6%C3%9Fe", True),
    ],
)
def test_paths_below_a_prefix(path, prefix, below):
    assert is_below(path, prefix) is below


def test_samples_are_due_at_fixed_times_whatever_the_last_one_took():
    due = _DueTimes(100.0, 100.0)
    times = [due.next(now, 0.0) for now in (100.0, 100.0101, 100.0299, 100.055)]
    assert times == pytest.approx([100.01, 100.02, 100.03, 100.06])


def test_what_costs_too_much_is_done_less_often():
    due, now, spent = _DueTimes(100.0, 100.0), 100.0, 0.0
    for _ in range(100):
        now = due.next(now, spent)
        spent += 0.001
    assert spent / (now - 100.0) == pytest.approx(0.025, rel=0.05)
