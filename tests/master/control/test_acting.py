"""Recycle, kill, another number of workers: what is refused, what is done, and how it is followed."""

import os

import pytest

from superwsgi.config.sections import RollOutSettings
from superwsgi.control import (
    Ended,
    KillRequest,
    LogsRequest,
    Outcome,
    Progress,
    RecycleRequest,
    Stage,
    WorkersRequest,
)
from superwsgi.master.control.acting import Acts
from superwsgi.master.policy.actions import KillWorker
from superwsgi.master.policy.death import FREE
from superwsgi.master.reopening import Reopening
from superwsgi.master.states import WorkerState


class Acting:
    """Commands of one operator."""

    def __init__(self, rooms):
        self.rooms = rooms
        self.stopping = False
        known = rooms.generations, rooms.record
        reopening = Reopening(rooms.context, rooms.generations, lambda: None)
        self._acts = Acts(
            rooms.context, *known, reopening, rooms.companions, rooms.agenda, lambda: self.stopping
        )

    def do(self, request):
        return self._acts.do(request, "uid 0 pid 1", self.rooms.now)

    def refused(self, request):
        ended, follow = self.do(request)
        assert (ended.outcome, follow) == (Outcome.REFUSED, None)
        return ended.reason


@pytest.fixture
def first(rooms):
    return rooms.start_serving()


@pytest.fixture
def acting(rooms, first):
    return Acting(rooms)


def end_those_that_drain(rooms, generation):
    for worker in list(generation.workers.values()):
        if worker.state is WorkerState.DRAINING:
            rooms.worker_ends(worker)
    rooms.turn()


def states(generation):
    return sorted((worker.number, worker.state.value) for worker in generation.workers.values())


def crash_loop(rooms, generation, number):
    """That worker dies whenever it begins."""
    for _ in range(FREE + 2):
        worker = next(each for each in generation.workers.values() if each.number == number)
        rooms.worker_ends(worker, 3)
        rooms.now = max(rooms.now, generation.crashes.fork_at)
        rooms.turn()
        rooms.begin_workers(generation)


class TestRecycle:
    def test_one_by_number_replacement_first(self, rooms, first, acting):
        progress, follow = acting.do(RecycleRequest(worker="2", follow=True))
        assert (progress.stage, progress.done, progress.total) == (Stage.RECYCLING, 0, 1)
        rooms.turn()
        assert states(first) == [(1, "serving"), (2, "forking"), (2, "serving")]
        assert follow(rooms.now).waits_for == "worker 2 is being forked"
        rooms.serve(first)
        assert follow(rooms.now).waits_for.endswith("drains")
        end_those_that_drain(rooms, first)
        ended = follow(rooms.now)
        assert ended.outcome is Outcome.COMPLETE
        assert ended.reason == f"worker 2 (pid {os.getpid()}) recycled; pid {os.getpid()} serves"
        assert 'to be recycled reason="asked for by uid 0 pid 1"' in rooms.log
        assert len(rooms.incidents) == 0

    def test_what_was_in_hand_for_too_long_is_said_to_be_lost(self, rooms, first, acting):
        _, follow = acting.do(RecycleRequest(worker="1", follow=True))
        rooms.turn()
        rooms.serve(first)
        first.board.writer(first.workers[0].slot).thread(1).begin(1, "GET", b"/loop", "c0ffee")
        end_those_that_drain(rooms, first)
        assert follow(rooms.now).reason.endswith("serves; 1 request lost, see `superwsgi why`")

    def test_all_one_after_the_other(self, rooms, first, acting):
        before = {worker.key for worker in first.workers.values()}
        _, follow = acting.do(RecycleRequest(follow=True))
        for done in 0, 1:
            assert follow(rooms.now).done == done
            rooms.turn()
            assert len(first.workers) == 3
            rooms.serve(first)
            end_those_that_drain(rooms, first)
        assert follow(rooms.now).reason == "2 workers recycled"
        assert not before & {worker.key for worker in first.workers.values()}

    def test_one_that_drained_before_is_what_is_waited_for(self, rooms, first, acting):
        acting.do(RecycleRequest(worker="1"))
        rooms.turn()
        rooms.serve(first)
        assert states(first) == [(1, "draining"), (1, "serving"), (2, "serving")]
        _, follow = acting.do(RecycleRequest(follow=True))
        rooms.turn()
        assert follow(rooms.now).waits_for.endswith("drains")

    def test_without_overlap_the_old_one_goes_first(self, rooms):
        rooms.site = rooms.a_site(rollout=RollOutSettings(overlap=False, confirm=0.0))
        rooms.sitewide.site = rooms.site
        first = rooms.start_serving()
        _, follow = Acting(rooms).do(RecycleRequest(follow=True))
        rooms.turn()
        assert states(first) == [(1, "draining"), (2, "serving")]
        end_those_that_drain(rooms, first)
        assert follow(rooms.now).waits_for == "worker 1 is being forked"
        rooms.serve(first)
        rooms.turn()
        assert follow(rooms.now).done == 1
        assert states(first) == [(1, "serving"), (2, "draining")]

    def test_one_that_is_being_recycled_already_is_followed(self, rooms, first, acting):
        acting.do(RecycleRequest(worker="1"))
        rooms.turn()
        again, follow = acting.do(RecycleRequest(worker="1", follow=True))
        assert isinstance(again, Progress)
        rooms.serve(first)
        draining, _ = acting.do(RecycleRequest(worker="1", follow=True))
        assert draining.waits_for.endswith("drains")
        end_those_that_drain(rooms, first)
        assert follow(rooms.now).outcome is Outcome.COMPLETE
        assert states(first) == [(1, "serving"), (2, "serving")]

    def test_one_that_boots_is_fresh_already(self, rooms, first, acting):
        rooms.worker_ends(first.workers[0], 3)
        rooms.turn()
        assert "worker 1 is being forked, so it is fresh already" in acting.refused(
            RecycleRequest(worker="1")
        )

    @pytest.mark.parametrize("word", ["9", "0", "-1", "x", "", "9" * 30])
    def test_no_such_worker(self, acting, word):
        assert "there are: 1 and 2, also by process id" in acting.refused(RecycleRequest(worker=word))

    def test_a_process_id_that_several_have_here_is_not_guessed(self, acting):
        assert "may be any of 2 workers" in acting.refused(RecycleRequest(worker=str(os.getpid())))

    def test_a_new_worker_that_dies_at_once_is_a_failure(self, rooms, first, acting):
        _, follow = acting.do(RecycleRequest(worker="1", follow=True))
        rooms.turn()
        assert isinstance(follow(rooms.now), Progress)
        new = rooms.begin_workers(first)[-1]
        rooms.worker_ends(new, 3)
        ended = follow(rooms.now)
        assert ended.outcome is Outcome.FAILED
        assert "the new worker 1 did not serve: exit code 3" in ended.reason
        assert f"worker 1 (pid {os.getpid()}) serves meanwhile" in ended.reason

    def test_in_a_crash_loop(self, rooms, first, acting):
        crash_loop(rooms, first, 1)
        assert "workers die as soon as they start" in acting.refused(RecycleRequest(worker="2"))
        rooms.worker_ends(next(w for w in first.workers.values() if w.number == 1), 3)
        assert "worker 1 does not run right now" in acting.refused(RecycleRequest(worker="1"))

    def test_beside_a_reload_one_worker_may_be_recycled_but_not_all(self, rooms, first, acting):
        rooms.ask()
        assert "generation 2 is being rolled out" in acting.refused(RecycleRequest())
        assert isinstance(acting.do(RecycleRequest(worker="1"))[0], Progress)
        second = rooms.generations.candidate
        rooms.load(second)
        rooms.serve(second)
        assert "1 may be any of" in acting.refused(KillRequest(worker="1"))

    def test_while_the_site_starts(self, rooms):
        rooms.start()
        assert "still starting" in Acting(rooms).refused(RecycleRequest())

    def test_a_stop_meanwhile_and_before(self, rooms, acting):
        _, follow = acting.do(RecycleRequest(follow=True))
        acting.stopping = True
        assert follow(rooms.now).outcome is Outcome.STOPPED
        assert acting.refused(RecycleRequest()) == "the site is being stopped"
        assert acting.refused(WorkersRequest(difference=1)) == "the site is being stopped"


class TestKill:
    def test_it_is_decided_and_says_what_was_in_hand(self, rooms, first, acting):
        first.board.writer(0).thread(1).begin(1, "GET", b"/report?token=secret", "c0ffee")
        progress, follow = acting.do(KillRequest(worker="1", follow=True))
        pid = os.getpid()
        said = f"worker 1 (pid {pid}) killed, in hand: GET /report c0ffee"
        assert progress.waits_for == said
        (action,) = rooms.agenda
        assert isinstance(action, KillWorker)
        rooms.agenda.clear()  # it would be our own end
        rooms.worker_ends(first.workers[0], -9)
        rooms.turn()
        rooms.serve(first)
        assert follow(rooms.now).reason == f"{said}; pid {pid} serves"

    def test_in_a_crash_loop_it_is_killed_all_the_same(self, rooms, first, acting):
        crash_loop(rooms, first, 1)
        progress, follow = acting.do(KillRequest(worker="2", follow=True))
        assert progress.waits_for == f"worker 2 (pid {os.getpid()}) killed, in hand: nothing"
        assert isinstance(rooms.agenda.pop(), KillWorker)  # it would be our own end
        rooms.worker_ends(next(w for w in first.workers.values() if w.number == 2), -9)
        ended = follow(rooms.now)
        assert ended.outcome is Outcome.FAILED
        assert "workers die as soon as they start" in ended.reason
        assert "serves meanwhile" not in ended.reason

    def test_one_that_is_no_process_yet(self, rooms, first, acting):
        rooms.worker_ends(first.workers[0], 3)
        rooms.turn()
        assert "is no process yet" in acting.refused(KillRequest(worker="1"))
        assert "no worker None" in acting.refused(KillRequest(worker="None"))

    def test_while_the_site_stops_nothing_takes_its_place(self, rooms, first, acting):
        acting.stopping = True
        progress, follow = acting.do(KillRequest(worker="1", follow=True))
        assert isinstance(progress, Progress)
        rooms.agenda.clear()
        rooms.worker_ends(first.workers[0], -9)
        assert follow(rooms.now).reason.endswith("killed, in hand: nothing")


class TestWorkers:
    def test_more(self, rooms, first, acting):
        _, follow = acting.do(WorkersRequest(difference=1, follow=True))
        rooms.turn()
        assert follow(rooms.now).waits_for == "worker 3 is being forked"
        rooms.serve(first)
        assert follow(rooms.now).reason == "3 workers serve, until the next reload"

    def test_fewer(self, rooms, first, acting):
        _, follow = acting.do(WorkersRequest(number=1, follow=True))
        rooms.turn()
        assert follow(rooms.now).waits_for.endswith("drains")
        end_those_that_drain(rooms, first)
        assert follow(rooms.now).reason == "1 worker serves, until the next reload"

    def test_as_many_as_there_are(self, acting):
        ended, _ = acting.do(WorkersRequest(number=2))
        assert isinstance(ended, Ended)
        assert ended.outcome is Outcome.COMPLETE

    def test_more_than_there_is_room_for_or_none(self, first, acting):
        assert "at most 18" in acting.refused(WorkersRequest(number=19))
        assert "at most 18" in acting.refused(WorkersRequest(difference=10**9))
        assert "`superwsgi stop` ends it" in acting.refused(WorkersRequest(number=0))
        assert "`superwsgi stop` ends it" in acting.refused(WorkersRequest(difference=-2))
        assert first.wanted == 2

    def test_of_a_range_a_number_that_was_asked_for_stays(self, rooms, first, acting):
        first.numbers.most = 8
        assert first.numbers.elastic
        acting.do(WorkersRequest(number=3))
        assert (first.wanted, first.numbers.elastic) == (3, False)
        assert "workers=3 before=2" in rooms.log
        assert 'next="until the next reload, or `superwsgi workers auto`"' in rooms.log

    def test_until_it_is_given_back_to_the_load(self, rooms, first, acting):
        first.numbers.most = 8
        acting.do(WorkersRequest(number=1))
        ended, _ = acting.do(WorkersRequest(auto=True))
        assert (first.wanted, first.numbers.elastic) == (2, True)
        assert 'workers=2 before=1 reason="asked for' in rooms.log
        assert ended.reason == "2 workers serve, as the load calls for, 2 to 8"

    def test_a_fixed_number_does_not_follow_the_load(self, first, acting):
        reason = acting.refused(WorkersRequest(auto=True))
        assert "`workers` is a number in the site file, 2" in reason
        assert "workers: {min: 2, max: 8}" in reason
        assert not first.numbers.pinned

    def test_one_that_does_not_start_is_a_failure(self, rooms, first, acting):
        _, follow = acting.do(WorkersRequest(difference=1, follow=True))
        rooms.turn()
        follow(rooms.now)
        rooms.worker_ends(rooms.begin_workers(first)[-1], 3)
        assert "the new worker 3 did not serve: exit code 3" in follow(rooms.now).reason

    def test_beside_a_reload(self, rooms, acting):
        rooms.ask()
        reason = acting.refused(WorkersRequest(difference=1))
        assert "brings as many workers as its configuration says" in reason


class TestLogs:
    def test_are_reopened(self, rooms, acting):
        progress, follow = acting.do(LogsRequest(follow=True))
        assert (progress.stage, progress.waits_for) == (Stage.REOPENING, "")
        while isinstance(follow(rooms.now), Progress):
            rooms.loop.turn(rooms.now)
        assert follow(rooms.now).reason == "log files reopened"

    def test_one_that_cannot_be(self, rooms, acting):
        rooms.log_file.unlink()
        rooms.log_file.mkdir()
        _, follow = acting.do(LogsRequest(follow=True))
        while isinstance(follow(rooms.now), Progress):
            rooms.loop.turn(rooms.now)
        ended = follow(rooms.now)
        assert (ended.outcome, "the old files stay in use" in ended.reason) == (Outcome.FAILED, True)
