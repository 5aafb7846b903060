"""Profiles as the master collects them: who takes part, who does not, and what is believed."""

import os
import time

import msgspec
import pytest

from superwsgi.channel import Closed
from superwsgi.control import Profile, ProfileRequest, Progress, Refused, Stage
from superwsgi.master.inquiries.profiles import LOOK, MOST_TEXT, PATIENCE, Profiles
from superwsgi.messages import Ready, SampleThreads
from superwsgi.profiles.formats import FORMATS
from superwsgi.samples import SHOWN, Frame, Sampled, Stack

FOUND = Sampled(
    ["GET /"], [Frame("view", "/srv/app.py", 1, 2)], [Stack(0, [0], 1.0, 100)], 1.0, 100, 99, 0, 0, 0
)


@pytest.fixture
def generation(rooms):
    generation = rooms.start_serving()
    for worker in generation.workers.values():
        worker.samples = True
    return generation


@pytest.fixture
def profiles(rooms, generation):
    return Profiles(rooms.context, rooms.generations)


@pytest.fixture
def begin(rooms, profiles):
    return lambda **request: profiles.begin(ProfileRequest(**request), "shop", rooms.now)


def asked(rooms, worker):
    """The order, and the pipe."""
    message, (pipe,) = rooms.workers[worker.key].receive()
    assert isinstance(message, SampleThreads)
    return message, pipe


def answer(rooms, worker, raw):
    _, pipe = asked(rooms, worker)
    with open(pipe, "wb") as file:
        file.write(raw)


def line(sampled):
    return msgspec.json.encode(sampled) + b"\n"


def ended(rooms, profiling, later=0.0):
    """What it has answered once the loop has turned."""
    for _ in range(20):
        rooms.loop.turn(time.monotonic())
        if not isinstance(said := profiling(rooms.now + later), Progress):
            return said
    return said


def test_all_workers_are_asked_and_told_of(rooms, generation, begin):
    profiling = begin(seconds=2.0, rate=50.0, path="/report")
    assert profiling(rooms.now + 0.5) == Progress(stage=Stage.SAMPLING, done=0, total=2)
    assert profiling(rooms.now + 1.0) == Progress(stage=Stage.SAMPLING, done=1, total=2)
    for worker in generation.workers.values():
        order, pipe = asked(rooms, worker)
        assert order == SampleThreads(2.0, 50.0, False, "/report", MOST_TEXT // 2)
        os.write(pipe, line(FOUND))
        os.close(pipe)
    said = ended(rooms, profiling, 2.0)
    assert isinstance(said, Profile)
    assert [(each.number, each.note, each.sampled) for each in said.workers] == [
        (1, "", FOUND),
        (2, "", FOUND),
    ]
    assert (said.site, said.seconds, said.rate, said.path) == ("shop", 2.0, 50.0, "/report")


@pytest.mark.parametrize(
    ("raw", "note"),
    [
        (b"", "died before"),
        (b"{}\n", "sent something else"),
        (b"[" * 50_000 + b"\n", "sent something else"),
        (line(msgspec.structs.replace(FOUND, stacks=[Stack(0, [7], 1.0, 1)])), "sent something else"),
        (line(msgspec.structs.replace(FOUND, late=1e300)), "sent something else"),
        (line(msgspec.structs.replace(FOUND, stacks=[Stack(0, [], 1.0, 1)])), "sent something else"),
        (line(msgspec.structs.replace(FOUND, stacks=[Stack(0, [0] * 5000, 1.0, 1)])), "sent something else"),
    ],
    ids=["nothing", "another", "nested", "inconsistent", "impossible", "nowhere", "deep"],
)
def test_what_is_not_believed(rooms, generation, begin, raw, note):
    one, other = generation.workers.values()
    profiling = begin(seconds=1.0)
    answer(rooms, one, raw)
    answer(rooms, other, line(FOUND))
    first, second = ended(rooms, profiling, 1.0).workers
    assert first.note.startswith(note)
    assert first.sampled is None
    assert second.sampled == FOUND


def test_the_deepest_that_is_believed_can_be_drawn(rooms, generation, begin):
    deepest = msgspec.structs.replace(FOUND, stacks=[Stack(0, [0] * SHOWN, 1.0, 1)])
    profiling = begin(seconds=1.0, of="1")
    answer(rooms, generation.workers[0], line(deepest))
    found = ended(rooms, profiling, 1.0)
    assert found.workers[0].sampled == deepest
    assert all(write(found) for write in FORMATS.values())


def test_more_than_there_is_room_for(rooms, generation, begin, profiles):
    profiling = begin(of="1", seconds=1.0)
    _, pipe = asked(rooms, generation.workers[0])
    os.set_blocking(pipe, False)
    written = 0
    try:
        while written < 5 * MOST_TEXT:
            written += os.write(pipe, b"x" * 65536)
            rooms.loop.turn(time.monotonic())
    except BrokenPipeError:
        pass
    os.close(pipe)
    assert 4 * MOST_TEXT <= written < 5 * MOST_TEXT
    assert ended(rooms, profiling, 1.0).workers[0].note == "sent something else than a profile"


def test_one_that_does_not_answer_in_time(rooms, generation, begin):
    profiling = begin(of="1", seconds=1.0)
    assert isinstance(profiling(rooms.now), Progress)
    profiling.look([], rooms.now + 1.0 + PATIENCE / 2)
    assert isinstance(profiling(rooms.now + 1.0), Progress)
    profiling.look([], rooms.now + 1.0 + PATIENCE)
    (worker,) = profiling(rooms.now + 1.0 + PATIENCE).workers
    assert worker.note.startswith("does not answer")
    _, pipe = asked(rooms, generation.workers[0])
    with pytest.raises(BrokenPipeError):
        os.write(pipe, b"x")
    os.close(pipe)


def test_one_that_an_earlier_program_has_started(rooms, generation, begin):
    generation.workers[0].samples = False
    profiling = begin(of="1")
    (worker,) = profiling(rooms.now).workers
    assert worker.note.startswith("was started by an earlier superwsgi")
    with pytest.raises(BlockingIOError):
        asked(rooms, generation.workers[0])


def test_one_that_does_not_listen(rooms, generation, begin):
    rooms.workers[generation.workers[0].key].close()
    with pytest.raises(Closed):
        generation.workers[0].channel.send(SampleThreads(1.0, 1.0))
    (worker,) = begin(of="1")(rooms.now).workers
    assert worker.note == "does not listen"


def test_one_that_comes_meanwhile_takes_part_in_what_is_left(rooms, generation, begin):
    one, other = generation.workers.values()
    profiling = begin(of="1", seconds=10.0)
    answer(rooms, one, line(FOUND))
    assert isinstance(ended(rooms, profiling, 4.0), Progress)
    profiling.look([one, other], rooms.now + 4.0)
    assert asked(rooms, other)[0].seconds == pytest.approx(6.0)


def test_nobody_waits_any_more(rooms, generation, begin):
    profiling = begin(of="1", seconds=10.0)
    profiling.look([], rooms.now + LOOK)
    assert profiling.is_over
    assert not isinstance(begin(of="1"), Refused)


def test_one_at_a_time(rooms, begin):
    profiling = begin(of="1", seconds=10.0)
    assert begin() == Refused(reason="it is being profiled already, for 10s more; try again then")
    assert not isinstance(begin(of="2"), Refused)
    profiling(rooms.now)


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        ({"of": "7"}, "no worker 7; there are: 1, 2"),
        ({"seconds": 0.5}, "seconds must be from 1 to 300, not 0.5"),
        ({"rate": 1e9}, "rate must be from 1 to 1000, not 1e+09"),
        ({"path": "report"}, "path must begin with /, not 'report'"),
    ],
)
def test_what_is_refused(begin, request_, reason):
    assert begin(**request_) == Refused(reason=reason)


def test_no_worker_runs(rooms, generation, begin):
    for worker in list(generation.workers.values()):
        rooms.worker_ends(worker, 3)
    for of in None, "1":
        assert begin(of=of) == Refused(reason="no worker runs: see `superwsgi status`")


def test_a_worker_says_that_it_can(rooms):
    first = rooms.start()
    rooms.load(first)
    for worker in rooms.begin_workers(first):
        assert not worker.samples
        rooms.worker_says(worker, Ready(0.1, samples=True))
        assert worker.samples
