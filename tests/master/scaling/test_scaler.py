"""Workers that come and go with the load, by what is on their scoreboard. They are all ourselves: so what
they spend is what the tests spend, and nothing is decided by it here."""

import contextlib

import pytest

from superwsgi.board.counts import OTHER_METHOD
from superwsgi.config.sections import ElasticWorkers, Memory, RollOutSettings
from superwsgi.master.scaling.demand import LOOK, REST
from superwsgi.master.scaling.scaler import Scaler, spread
from superwsgi.messages import MayGrow, Ready, Spread

SECONDS = int(1 / LOOK)

LATER = 1 << 62
"""Their loops turn, whenever they are looked at."""


class Scaled:
    """A site with two workers, or more if there is load, and what the scaler makes of it."""

    def __init__(self, rooms, least=2, most=6, **more):
        self.rooms = rooms
        workers = ElasticWorkers(min=least, max=most)
        rooms.site = rooms.sitewide.site = rooms.a_site(workers=workers, threads=2, **more)
        self.generation = rooms.start_serving()
        self.memory_is_short = False
        self.scaler = Scaler(rooms.context, rooms.generations, lambda: self.memory_is_short)

    def look(self, seconds=4.0):
        for _ in range(int(seconds * SECONDS)):
            self.rooms.now += LOOK
            self.scaler.look(self.rooms.now)
        return self.generation.wanted

    def fill(self, queued=4, generation=None):
        """All threads of all workers are taken, and requests wait."""
        generation = generation or self.generation
        for worker in generation.workers.values():
            writer = generation.board.writer(worker.slot)
            for name, value in (("heartbeat", LATER), ("threads", 2), ("free", 0), ("queued", queued)):
                writer.set(name, value)
            for number in range(2):
                writer.thread(number).begin(1, "GET", b"/reports", "")

    def serve(self):
        """Those that were added serve, and have nothing to do."""
        self.rooms.turn()
        coming = [worker for worker in self.generation.workers.values() if worker.ready_at is None]
        self.empty(coming)
        self.rooms.serve(self.generation)

    def empty(self, workers=None):
        for worker in self.generation.workers.values() if workers is None else workers:
            self.generation.board.clear(worker.slot)
            for name, value in (("heartbeat", LATER), ("free", 2)):
                self.generation.board.writer(worker.slot).set(name, value)

    def told(self, worker):
        """What a worker was told since."""
        messages = []
        with contextlib.suppress(BlockingIOError):
            while True:
                messages.append(self.rooms.workers[worker.key].receive()[0])
        return messages


@pytest.fixture
def scaled(rooms):
    return Scaled(rooms)


def test_it_begins_with_the_fewest(scaled):
    assert scaled.generation.wanted == 2
    assert scaled.generation.board.slots == 2 * (6 + 16)
    assert scaled.look(10) == 2


def test_load_brings_more_and_the_log_says_why(rooms, scaled):
    scaled.fill()
    assert scaled.look() == 4
    assert 'worker count changed workers=4 before=2 reason="8 requests wait' in rooms.log
    assert 'and all threads are taken" next="from 2 to 6, as the load calls for"' in rooms.log
    assert rooms.context.incidents.events["worker count changed"] == 0
    rooms.turn()
    assert sorted(worker.number for worker in scaled.generation.workers.values()) == [1, 2, 3, 4]


def test_what_is_refused_waits_no_longer_but_counts(rooms, scaled):
    """`limits.queue: 0`: nothing ever waits."""
    writers = [scaled.generation.board.writer(worker.slot) for worker in scaled.generation.workers.values()]
    for _ in range(8):
        for writer in writers:
            writer.refuse(503, OTHER_METHOD, 0, 0)
        scaled.look(0.5)
    assert scaled.generation.wanted > 2


def test_connections_are_to_move_where_it_is_uneven(rooms, scaled):
    scaled.fill()
    first, second = scaled.generation.workers.values()
    scaled.empty([second])
    assert scaled.look(5) == 2
    assert scaled.told(first) == [MayGrow(workers=True), Spread(5.0)]


def test_none_is_added_while_workers_are_recycled_for_want_of_memory(rooms, scaled):
    scaled.fill()
    scaled.memory_is_short = True
    assert scaled.look() == 2
    assert scaled.generation.numbers.held_back == "memory is short"
    assert 'no more workers workers=2 reason="memory is short"' in rooms.log
    scaled.memory_is_short = False
    assert scaled.look() == 4


def test_no_more_before_those_serve(rooms, scaled):
    scaled.fill()
    assert scaled.look() == 4
    rooms.turn()
    assert scaled.look(20) == 4
    scaled.serve()
    assert scaled.look(20) == 4, "the new ones have room"
    scaled.fill()
    assert scaled.look() == 6
    assert rooms.log.count("worker count changed") == 2


def test_at_the_most_that_is_said_once(rooms, scaled):
    for _ in range(3):
        scaled.fill()
        scaled.look(10)
        scaled.serve()
    scaled.fill()
    assert scaled.look(30) == 6
    assert scaled.generation.numbers.held_back == "workers.max is 6"
    assert rooms.log.count('no more workers workers=6 reason="workers.max is 6" load="24 requests wait') == 1
    scaled.empty()
    scaled.look(10)
    assert scaled.generation.numbers.held_back == ""


def test_rest_lets_them_go_again(rooms, scaled):
    scaled.fill()
    scaled.look()
    scaled.serve()
    scaled.empty()
    assert scaled.look(REST - 5) == 4
    assert scaled.look(40) == 2
    assert 'workers=2 before=3 reason="little to do for 1m00s' in rooms.log
    drained = [action.worker for action in rooms.turn()]
    assert len(drained) == 2


def test_a_fixed_number_stays(rooms):
    rooms.site = rooms.sitewide.site = rooms.a_site(workers=2, threads=2)
    scaled = Scaled.__new__(Scaled)
    scaled.rooms, scaled.generation = rooms, rooms.start_serving()
    scaled.scaler = Scaler(rooms.context, rooms.generations, lambda: False)
    scaled.fill()
    assert scaled.look(10) == 2
    assert [scaled.told(worker) for worker in scaled.generation.workers.values()] == [[], []]


def test_what_an_operator_has_asked_for_stays_until_it_is_given_back(scaled):
    scaled.generation.numbers.pin(2)
    scaled.fill()
    assert scaled.look(10) == 2
    scaled.generation.numbers.unpin()
    assert scaled.look() == 4


def test_none_while_workers_die(rooms, scaled):
    scaled.fill()
    scaled.look(1)
    first = min(scaled.generation.workers.values(), key=lambda worker: worker.number)
    rooms.worker_ends(first, 1)
    assert scaled.look(10) == 2
    rooms.turn()
    rooms.begin_workers(scaled.generation)
    rooms.worker_says(next(w for w in scaled.generation.workers.values() if w.ready_at is None), Ready(0.1))
    for _ in range(6):
        scaled.generation.crashes.count(0.1, rooms.now, failed=False)
    scaled.fill()
    assert scaled.look(20) == 2, "a crash loop"
    assert scaled.look(60) == 4


def test_a_worker_that_was_stopped_is_no_reason(rooms, scaled):
    for worker in scaled.generation.workers.values():
        worker.seen(rooms.now, 7)
    scaled.fill()
    assert scaled.look(10) == 2


def test_not_against_memory(rooms):
    """Two of half of all there is fit, a third does not."""
    scaled = Scaled(rooms, memory=Memory(soft=0.45))
    scaled.fill()
    assert scaled.look(20) == 2
    (line,) = [line for line in rooms.log.splitlines() if "no more workers" in line]
    assert 'reason="memory.soft lets a worker become ' in line
    assert scaled.generation.numbers.held_back.startswith("memory.soft lets")


class TestWhatWorkersAreTold:
    def test_that_there_may_be_more_and_that_there_may_not(self, rooms, scaled):
        worker = scaled.generation.workers[0]
        scaled.look(1)
        assert scaled.told(worker) == [MayGrow(workers=True)]
        scaled.generation.numbers.pin(2)
        scaled.look(2)
        assert scaled.told(worker) == [MayGrow(workers=False)]
        scaled.generation.numbers.unpin()
        scaled.look(2)
        assert scaled.told(worker) == [MayGrow(workers=True)]

    def test_no_longer_at_the_most(self, rooms):
        scaled = Scaled(rooms, least=1, most=2)
        (worker,) = scaled.generation.workers.values()
        scaled.fill()
        assert scaled.look() == 2
        assert scaled.told(worker) == [MayGrow(workers=True)]
        scaled.look()
        assert scaled.told(worker) == [], "one is on its way"
        scaled.serve()
        scaled.look(1)
        assert scaled.told(worker) == [Spread(5.0), MayGrow(workers=False)]

    def test_not_where_memory_stands_against_it(self, rooms):
        scaled = Scaled(rooms, memory=Memory(soft=0.45))
        scaled.fill()
        scaled.look(4)
        assert scaled.told(scaled.generation.workers[0]) == [MayGrow(workers=True), MayGrow(workers=False)]
        scaled.empty()
        scaled.look(4)
        assert scaled.told(scaled.generation.workers[0]) == [MayGrow(workers=True)]

    def test_nothing_while_it_hangs_or_is_stopped(self, rooms, scaled):
        hangs, stops = scaled.generation.workers.values()
        rooms.now += 60
        scaled.empty([stops])
        stops.seen(rooms.now, 7)
        scaled.look(2)
        spread(scaled.generation, rooms.now)
        assert (scaled.told(hangs), scaled.told(stops)) == ([], [])
        scaled.empty()
        stops.seen(rooms.now, None)
        scaled.look(2)
        assert scaled.told(hangs) == scaled.told(stops) == [MayGrow(workers=True)]

    def test_nothing_that_one_of_an_earlier_program_may_not_understand(self, scaled):
        worker = scaled.generation.workers[0]
        worker.may_grow = None
        scaled.generation.numbers.arrived = True
        scaled.look()
        assert scaled.told(worker) == []


class TestBesideAReload:
    def test_the_next_generation_begins_with_as_many_as_serve(self, rooms, scaled):
        scaled.fill()
        assert scaled.look() == 4
        scaled.serve()
        rooms.ask()
        candidate = rooms.generations.candidate
        assert candidate.wanted == 4
        scaled.fill()
        assert scaled.look() == 6
        assert candidate.wanted == 6, "it loads meanwhile"

    def test_its_own_range_counts(self, rooms, scaled):
        scaled.fill()
        scaled.look()
        rooms.site = rooms.a_site(workers=ElasticWorkers(min=1, max=3), threads=2)
        rooms.ask()
        assert rooms.generations.candidate.wanted == 3

    def test_one_that_is_rolled_out_follows_the_load_and_going_back_loses_nothing(self, rooms, scaled):
        rooms.site = rooms.a_site(
            workers=rooms.site.workers, threads=2, rollout=RollOutSettings(confirm=60.0)
        )
        rooms.ask()
        candidate = rooms.generations.candidate
        rooms.load(candidate)
        rooms.serve(candidate)
        rooms.serve(candidate)
        assert rooms.generations.target() is candidate
        scaled.fill(generation=candidate)
        scaled.look()
        assert candidate.wanted == 4
        candidate.spoil("it answers badly")
        rooms.reload.give_up_failed(rooms.now)
        assert rooms.generations.target() is scaled.generation
        assert scaled.generation.wanted == 4
