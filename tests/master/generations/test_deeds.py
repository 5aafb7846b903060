"""What is done of what was decided, and what is skipped because it does not apply any more."""

import subprocess

import pytest

from superwsgi.master.generations.held import hold
from superwsgi.master.policy.actions import (
    DismissMold,
    DrainWorker,
    DumpWorker,
    EndMold,
    ForkWorker,
    KillBroken,
    KillWorker,
    RecycleWorker,
    RemindWorker,
    ReplaceMold,
    StartMold,
)
from superwsgi.master.states import WorkerState
from superwsgi.messages import Drain, Loaded, Stop

NOBODY = 0


@pytest.fixture
def serving(rooms):
    return rooms.start_serving()


@pytest.fixture
def worker(serving):
    return next(iter(serving.workers.values()))


@pytest.mark.parametrize(
    "action",
    [
        *(StartMold(9), EndMold(9, NOBODY, ""), ReplaceMold(9, "", ""), ForkWorker(9, 1)),
        *(to(number, NOBODY, "") for number in (1, 9) for to in (DrainWorker, KillWorker)),
        *(to(number, NOBODY, "") for number in (1, 9) for to in (RecycleWorker, DumpWorker)),
        *(KillBroken(1, NOBODY), KillBroken(9, NOBODY)),
        *(RemindWorker(1, NOBODY), RemindWorker(9, NOBODY), DismissMold(1, NOBODY)),
        EndMold(1, NOBODY, "another one by now"),
        StartMold(1),
    ],
    ids=str,
)
def test_what_is_gone_or_there_already_is_skipped(rooms, serving, action):
    before, log = hold(serving), rooms.log
    rooms.deeds.do(action, rooms.now)
    assert hold(serving) == before
    assert rooms.log == log


def test_a_worker_that_drains_is_not_told_again(rooms, serving, worker):
    rooms.deeds.do(DrainWorker(1, worker.key, "one worker fewer"), rooms.now)
    rooms.deeds.do(DrainWorker(1, worker.key, "memory"), rooms.now)
    assert worker.asked_to_go == "one worker fewer"
    assert isinstance(rooms.workers[worker.key].receive()[0], Drain)
    with pytest.raises(BlockingIOError):
        rooms.workers[worker.key].receive()


def test_when_the_site_stops_those_that_drain_already_are_told_too(rooms, serving, worker):
    rooms.deeds.do(DrainWorker(1, worker.key, "memory"), rooms.now)
    rooms.deeds.stop(serving, "SIGTERM", rooms.now, fast=False)
    told = [
        [rooms.workers[each.key].receive()[0] for _ in range(2 if each is worker else 1)]
        for each in serving.workers.values()
    ]
    assert [[message.last for message in each] for each in told] == [[False, True], [True]]
    assert worker.asked_to_go == "memory"


def test_a_worker_is_drained_by_its_own_latest_word(rooms, serving):
    """It has gone while it was decided about, and nobody has heard of its end before."""
    rooms.deeds.do(ForkWorker(1, 3), rooms.now)
    worker = next(worker for worker in serving.workers.values() if worker.number == 3)
    _, fd = rooms.asked()
    rooms.adopt(worker, fd).close()
    rooms.deeds.do(DrainWorker(1, worker.key, "one worker fewer"), rooms.now)
    assert worker.state is WorkerState.GONE
    assert worker.asked_to_go is None


def test_no_worker_is_forked_where_there_is_no_mold(rooms, serving):
    rooms.mold_ends(serving)
    rooms.deeds.do(ForkWorker(1, 3), rooms.now)
    assert len(serving.workers) == 2


def test_a_fork_that_is_not_possible_is_tried_again(rooms, serving):
    rooms.molds[-1].close()
    rooms.deeds.do(ForkWorker(1, 3), rooms.now)
    assert serving.crashes.fork_at == rooms.now + 1.0
    assert 'not forked reason="its mold is not listening" next="tried again in 1s"' in rooms.log


def test_only_who_serves_is_recycled_and_once(rooms, serving, worker):
    rooms.deeds.do(RecycleWorker(1, worker.key, "memory.soft"), rooms.now)
    rooms.deeds.do(RecycleWorker(1, worker.key, "memory.soft again"), rooms.now)
    assert worker.recycle == "memory.soft"
    assert rooms.log.count("to be recycled") == 1


def test_a_kill_is_one_of_the_process(rooms, serving, worker):
    with subprocess.Popen(["sleep", "60"]) as process:
        worker.take_over(process.pid)
        rooms.deeds.do(KillWorker(1, worker.key, "memory.hard"), rooms.now)
        rooms.deeds.do(KillWorker(1, worker.key, "it hangs, too"), rooms.now)
        assert process.wait(60) == -9
    assert worker.state is WorkerState.ENDING
    assert worker.asked_to_go == "memory.hard"
    assert "killed reason=memory.hard" in rooms.log
    assert rooms.log.count("killed") == 1


def test_a_worker_that_outlives_its_kill_is_killed_again(rooms, serving, worker):
    with subprocess.Popen(["sleep", "60"]) as process:
        worker.take_over(process.pid)
        for _ in range(2):
            rooms.deeds.do(KillWorker(1, worker.key, worker.overdue or "memory.hard"), rooms.now)
            rooms.now += 3
        process.wait(60)
    assert 'killed reason="killed, but still there"' in rooms.log


def test_no_worker_is_forked_of_what_has_failed(rooms, serving):
    serving.spoil("worker 1: exit code 3")
    rooms.deeds.do(ForkWorker(1, 3), rooms.now)
    assert len(serving.workers) == 2


def test_a_mold_that_nobody_needs_is_dismissed(rooms, serving):
    rooms.deeds.do(DismissMold(1, serving.mold.pid), rooms.now)
    assert not serving.mold.is_heard()


class TestTheEndOfAll:
    def test_politely(self, rooms, serving):
        rooms.deeds.stop(serving, "SIGTERM", rooms.now, fast=False)
        assert {worker.state for worker in serving.workers.values()} == {WorkerState.DRAINING}
        assert not serving.mold.is_heard()

    def test_at_once(self, rooms, serving, worker):
        rooms.deeds.stop(serving, "SIGINT", rooms.now, fast=True)
        assert worker.state is WorkerState.ENDING
        assert isinstance(rooms.workers[worker.key].receive()[0], Stop)

    def test_a_generation_that_goes_gets_no_mold(self, rooms):
        generation = rooms.start()
        rooms.deeds.stop(generation, "SIGTERM", rooms.now, fast=False)
        rooms.turn()
        assert rooms.molds == []

    def test_nor_does_what_it_says_bring_it_back(self, rooms):
        generation = rooms.start()
        rooms.turn()
        rooms.molds[-1].send(Loaded(0.1))
        rooms.deeds.stop(generation, "SIGTERM", rooms.now, fast=False)
        assert not generation.can_fork()
