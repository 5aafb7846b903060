"""A reload from the wish for one to its end, step by step, without a process."""

import signal

import pytest

from superwsgi.config.sections import RollOutSettings
from superwsgi.control import Outcome
from superwsgi.master.policy.actions import DrainWorker, ForkWorker, ReplaceMold, StartMold
from superwsgi.master.policy.death import crash_loop
from superwsgi.master.sockets.listener import BindError
from superwsgi.master.states import GenerationState as S
from superwsgi.messages import Loaded, LoadFailed, Ready

SUPERSEDED = "replaced by a later generation"


def outcome(rooms):
    ended = rooms.record.find(rooms.record.newest).ended
    return None if ended is None else ended.outcome


@pytest.fixture
def serving(rooms):
    """The first generation, which serves."""
    return rooms.start_serving()


class TestStart:
    def test_the_mold_is_started_then_the_workers(self, rooms):
        first = rooms.start()
        assert rooms.turn() == [StartMold(1)]
        rooms.mold_says(first, Loaded(0.1))
        assert rooms.turn() == [ForkWorker(1, 1), ForkWorker(1, 2)]

    def test_the_first_worker_that_serves_makes_it_current(self, rooms):
        first = rooms.start()
        rooms.load(first)
        one, _ = rooms.begin_workers(first)
        assert rooms.generations.current is None
        rooms.worker_says(one, Ready(0.1))
        rooms.turn()
        assert rooms.generations.current is first
        assert rooms.generations.candidate is None
        assert outcome(rooms) is Outcome.COMPLETE

    def test_what_does_not_load_ends_it_all(self, rooms):
        first = rooms.start()
        rooms.turn()
        rooms.mold_says(first, LoadFailed("no module named shop"))
        rooms.mold_ends(first)
        rooms.turn()
        assert rooms.reload.first_failed
        assert not rooms.generations, "and nothing is left of it"
        assert 'application did not load reason="no module named shop" next=stopping' in rooms.log


class TestTakingOver:
    def test_worker_by_worker_and_then_the_old_generation_goes(self, rooms, serving):
        rooms.ask()
        second = rooms.generations.candidate
        assert rooms.turn() == [StartMold(2)]
        rooms.mold_says(second, Loaded(0.1))
        assert rooms.turn() == [ForkWorker(2, 1)], "the first has to prove itself"
        old = sorted(serving.workers.values(), key=lambda worker: worker.number)
        assert rooms.serve(second) == [DrainWorker(1, old[0].key, SUPERSEDED), ForkWorker(2, 2)]
        assert rooms.serve(second) == [DrainWorker(1, old[1].key, SUPERSEDED)]
        assert rooms.generations.current is second
        assert serving.state is S.RETIRING
        assert "reload complete" in rooms.log
        for worker in old:
            rooms.worker_ends(worker)
        rooms.children.mold_ended(serving, serving.mold, 0, rooms.now)
        rooms.turn()
        assert list(rooms.generations) == [second]

    def test_the_old_one_is_kept_until_it_is_confirmed(self, rooms, serving):
        rooms.site = rooms.a_site(workers=1, rollout=RollOutSettings(confirm=10.0))
        rooms.ask()
        second = rooms.generations.candidate
        rooms.load(second)
        rooms.serve(second)
        assert rooms.reload.rolled_out
        assert rooms.generations.current is serving
        rooms.now += 11
        rooms.turn()
        assert rooms.generations.current is second

    def test_the_next_one_confirms_it(self, rooms, serving):
        rooms.site = rooms.a_site(workers=1, rollout=RollOutSettings(confirm=10.0))
        rooms.ask()
        second = rooms.generations.candidate
        rooms.load(second)
        rooms.serve(second)
        rooms.ask()
        assert rooms.generations.current is second
        assert rooms.generations.candidate.number == 3


class TestNotTakingOver:
    def test_what_cannot_even_begin_is_refused(self, rooms, serving):
        rooms.site = BindError("cannot bind :80: it is in use\nby process 7")
        number = rooms.ask()
        ended = rooms.record.find(number).ended
        assert ended.outcome is Outcome.REFUSED
        assert rooms.generations.candidate is None
        assert (ended.reason, ended.detail) == ("cannot bind :80: it is in use", "by process 7")
        assert rooms.record.trouble == ended.reason
        assert 'next="generation 1 goes on serving"' in rooms.log

    def test_what_does_not_load(self, rooms, serving):
        rooms.ask()
        second = rooms.generations.candidate
        rooms.turn()
        rooms.mold_says(second, LoadFailed("no module named shop", "Traceback"))
        rooms.mold_ends(second)
        rooms.turn()
        assert outcome(rooms) is Outcome.FAILED
        assert list(rooms.generations) == [serving]
        assert serving.state is S.SERVING
        assert rooms.record.trouble == "no module named shop"

    def test_the_log_does_not_say_that_a_crash_loop_serves(self, rooms, serving):
        while not crash_loop(serving.crashes.early):
            rooms.worker_ends(next(iter(serving.workers.values())), 3)
            rooms.now = max(rooms.now, serving.crashes.fork_at)
            rooms.turn()
            rooms.begin_workers(serving)
        rooms.site = BindError("cannot bind :80")
        rooms.ask()
        assert 'next="generation 1 stays, and its workers die"' in rooms.log

    def test_too_many_crashes_lead_back(self, rooms, serving):
        rooms.site = rooms.a_site(rollout=RollOutSettings(confirm=10.0, max_failures=1))
        rooms.ask()
        second = rooms.generations.candidate
        rooms.load(second)
        rooms.serve(second)
        rooms.worker_ends(next(iter(second.workers.values())), 3)
        assert ForkWorker(1, 1) in rooms.turn(), "from the old mold, which never went away"
        assert outcome(rooms) is Outcome.ROLLED_BACK
        assert second.state is S.FAILED

    def test_deaths_behind_the_decisive_one_are_those_of_a_generation_that_goes(self, rooms, serving):
        """In one turn several may end, before it is given up."""
        rooms.site = rooms.a_site(workers=2, rollout=RollOutSettings(confirm=10.0, max_failures=1, batch=2))
        rooms.ask()
        second = rooms.generations.candidate
        rooms.load(second)
        rooms.serve(second)
        rooms.serve(second)
        one, two = second.workers.values()
        rooms.worker_ends(one, 3)
        rooms.worker_ends(two, 4)
        rooms.turn()
        assert rooms.record.trouble == f"worker {one.number}: exit code 3"
        assert rooms.log.count("died") == 0
        assert rooms.log.count(" ended reason=") == 1

    def test_a_lost_mold_is_a_reason_to_go_back_only_for_a_candidate(self, rooms, serving):
        rooms.mold_ends(serving, -signal.SIGSEGV)
        assert rooms.agenda == [ReplaceMold(1, "mold ended with signal 11 (SIGSEGV)", "")]
        rooms.turn()
        assert serving.state is S.SERVING
        assert serving.mold is None
        assert "workers keep serving; a new mold in" in rooms.log


class TestAnotherOne:
    def test_takes_the_place_of_one_that_has_yet_to_load(self, rooms, serving):
        first_number = rooms.ask()
        rooms.turn()
        second = rooms.generations.candidate
        assert rooms.ask() == first_number + 1
        assert second.state is S.FAILED
        assert rooms.record.find(first_number).ended.outcome is Outcome.SUPERSEDED

    def test_no_mold_is_started_for_what_was_given_up_in_the_same_turn(self, rooms, serving):
        rooms.ask()
        rooms.ask()
        assert rooms.agenda == [StartMold(2), StartMold(3)]
        rooms.turn()
        assert len(rooms.molds) == 2, "that of generation 1, and that of 3"
        assert [generation.number for generation in rooms.generations] == [1, 3]

    def test_waits_for_one_that_is_rolled_out(self, rooms, serving):
        rooms.ask()
        second = rooms.generations.candidate
        rooms.load(second)
        number = rooms.ask()
        assert rooms.record.find(number) is None
        rooms.serve(second)
        rooms.serve(second)
        assert rooms.record.newest == number
        assert rooms.generations.candidate.number == 3


class TestOneAfterAnother:
    """With rollout.overlap: no."""

    @pytest.fixture
    def alone(self, rooms):
        """Its mold may hold what another generation needs."""
        rollout = RollOutSettings(confirm=0.0, overlap=False)
        rooms.site = rooms.sitewide.site = rooms.a_site(workers=1, rollout=rollout)
        first = rooms.start()
        rooms.turn()
        rooms.mold_says(first, Loaded(0.1, ["open file /srv/db.lock"]))
        rooms.turn()
        rooms.serve(first)
        return first

    def go_away(self, rooms, generation):
        (worker,) = generation.workers.values()
        done = rooms.turn()
        room = "makes room for another generation"
        assert done == [DrainWorker(generation.number, worker.key, room, last=True)]
        rooms.worker_ends(worker)
        assert rooms.turn() == [], "its mold is there still"
        rooms.mold_ends(generation, 0)

    def test_the_old_one_goes_first(self, rooms, alone):
        rooms.ask()
        assert alone.state is S.WAITING
        self.go_away(rooms, alone)
        assert rooms.turn() == [StartMold(2)]

    def test_and_comes_back(self, rooms, alone):
        rooms.ask()
        second = rooms.generations.candidate
        self.go_away(rooms, alone)
        rooms.turn()
        rooms.mold_says(second, LoadFailed("is locked", locked=True))
        rooms.mold_ends(second)
        assert rooms.turn() == [StartMold(1)]
        assert 'next="generation 1 is started again"' in rooms.log
