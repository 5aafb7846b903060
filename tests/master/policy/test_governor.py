"""The governor's rules, as lists of actions: no process, no clock."""

import pytest

from superwsgi.master.policy.actions import DrainWorker, ForkWorker, KillWorker
from superwsgi.master.policy.governor import SiteView, WorkerView, decide, rolled_out
from superwsgi.master.states import WorkerState as S

LONG_AGO = -1000.0


def worker(key, number, generation=1, state=S.SERVING, ready_at=LONG_AGO, **more):
    ready = ready_at if state in (S.SERVING, S.DRAINING) else None
    return WorkerView(key, number, generation, state, ready, **more)


def actions(*workers, wanted=2, target=1, fork_at=0.0, now=100.0, batch=1, **more):
    return list(decide(SiteView(wanted, target, fork_at, workers, batch, **more), now).actions)


def test_missing_workers_are_forked_at_once():
    assert actions(wanted=3) == [ForkWorker(1, 1), ForkWorker(1, 2), ForkWorker(1, 3)]


def test_a_crashed_worker_is_replaced_under_its_number():
    assert actions(worker(1, 1), worker(3, 3), wanted=3) == [ForkWorker(1, 2)]


def test_a_worker_that_is_on_its_way_is_not_forked_again():
    assert actions(worker(1, 1, state=S.FORKING), worker(2, 2, state=S.BOOTING)) == []


def test_a_draining_worker_does_not_count():
    assert actions(worker(1, 1, state=S.DRAINING), worker(2, 2)) == [ForkWorker(1, 1)]


def test_nothing_is_forked_without_a_mold():
    assert actions(target=None) == []


def test_back_off_is_kept_and_asked_for_again():
    plan = decide(SiteView(1, 1, 105.0, ()), 100.0)
    assert plan.actions == ()
    assert plan.ask_at == 105.0


class TestCrashLoop:
    """Six workers have died early, one after another."""

    def test_one_is_tried_at_a_time_and_each_in_turn(self):
        assert actions(wanted=4, early=6) == [ForkWorker(1, 3)]
        assert actions(wanted=4, early=7) == [ForkWorker(1, 4)]
        assert actions(worker(1, 3, state=S.BOOTING), wanted=4, early=6) == []
        assert actions(wanted=4, early=6, alone=1) == [ForkWorker(1, 3)]

    def test_all_once_one_serves(self):
        assert actions(worker(1, 2), wanted=4, early=6) == [ForkWorker(1, n) for n in (1, 3, 4)]

    def test_a_few_early_deaths_are_none(self):
        assert actions(wanted=2, early=5) == [ForkWorker(1, 1), ForkWorker(1, 2)]


def test_a_worker_too_many_is_drained():
    assert actions(worker(1, 1), worker(2, 2), worker(3, 3)) == [DrainWorker(1, 3, "one worker fewer")]


def test_a_deadline_that_has_passed_kills():
    late = worker(1, 1, state=S.DRAINING, deadline=99.0, overdue="too slow")
    assert actions(late, worker(2, 2), worker(3, 1)) == [KillWorker(1, 1, "too slow", cause=None)]


def test_a_deadline_to_come_is_when_to_ask_again():
    late = worker(1, 1, state=S.DRAINING, deadline=107.0)
    assert decide(SiteView(1, 1, 0.0, (late, worker(2, 1))), 100.0).ask_at == 107.0


class TestRecycling:
    def test_the_replacement_is_forked_first(self):
        assert actions(worker(1, 1, recycle="memory"), worker(2, 2)) == [ForkWorker(1, 1)]

    def test_nothing_is_drained_while_the_replacement_boots(self):
        assert actions(worker(1, 1, recycle="memory"), worker(2, 2), worker(3, 1, state=S.BOOTING)) == []

    def test_the_old_worker_is_drained_once_the_replacement_serves(self):
        fresh = worker(3, 1, ready_at=99.9)
        assert actions(worker(1, 1, recycle="memory"), worker(2, 2), fresh) == [DrainWorker(1, 1, "memory")]

    def test_one_at_a_time(self):
        both = worker(1, 1, recycle="memory"), worker(2, 2, recycle="memory")
        assert actions(*both) == [ForkWorker(1, 1)]
        assert actions(*both, worker(3, 1, state=S.BOOTING)) == []

    def test_the_next_waits_until_the_last_is_gone(self):
        draining = worker(1, 1, state=S.DRAINING, recycle="memory")
        second = worker(2, 2, recycle="memory")
        assert actions(draining, second, worker(3, 1)) == []
        assert actions(second, worker(3, 1)) == [ForkWorker(1, 2)]

    def test_a_missing_worker_comes_first(self):
        assert actions(worker(1, 1, recycle="memory")) == [ForkWorker(1, 2)]


class TestRollOut:
    def test_begins_with_one_worker(self):
        assert actions(worker(1, 1), worker(2, 2), target=2) == [ForkWorker(2, 1)]

    def test_the_first_has_to_prove_itself(self):
        workers = worker(1, 1), worker(2, 2), worker(3, 1, 2, ready_at=100.0)
        plan = decide(SiteView(2, 2, 0.0, workers), 100.5)
        assert plan.actions == ()
        assert plan.ask_at == 100.0 + 1.0

    def test_no_proof_is_wanted(self):
        workers = worker(1, 1), worker(3, 1, 2, ready_at=100.0)
        assert actions(*workers, wanted=1, target=2, proof=0.0) == [
            DrainWorker(1, 1, "replaced by a later generation")
        ]

    def test_then_the_old_one_goes_and_the_next_comes(self):
        workers = worker(1, 1), worker(2, 2), worker(3, 1, 2, ready_at=98.0)
        assert actions(*workers, target=2) == [
            DrainWorker(1, 1, "replaced by a later generation"),
            ForkWorker(2, 2),
        ]

    def test_does_not_wait_for_old_workers_to_drain(self):
        draining = worker(1, 1, state=S.DRAINING)
        assert actions(draining, worker(2, 2), worker(3, 1, 2, ready_at=98.0), target=2) == [ForkWorker(2, 2)]

    def test_later_ones_take_over_as_soon_as_they_serve(self):
        proven, just_ready = worker(3, 1, 2, ready_at=98.0), worker(4, 2, 2, ready_at=100.0)
        assert actions(worker(2, 2), proven, just_ready, target=2) == [
            DrainWorker(1, 2, "replaced by a later generation")
        ]

    def test_going_back_forks_from_the_old_generation(self):
        """The target is the old generation again: its missing worker is forked, the new one then drained."""
        left, failed = worker(2, 2, 1), worker(3, 1, 2)
        assert actions(left, failed, target=1) == [ForkWorker(1, 1)]
        assert actions(left, failed, worker(4, 1, 1, ready_at=100.0), target=1) == [
            DrainWorker(2, 3, "replaced by a later generation")
        ]

    def test_a_batch_moves_over_at_a_time_after_the_first(self):
        old = [worker(n, n) for n in range(1, 6)]
        assert actions(*old, target=2, wanted=5, batch=2) == [ForkWorker(2, 1)]
        moved = [*old[1:], worker(6, 1, 2, ready_at=98.0)]
        assert actions(*moved, target=2, wanted=5, batch=2) == [ForkWorker(2, 2), ForkWorker(2, 3)]
        half = [*moved, worker(7, 2, 2, ready_at=100.0), worker(8, 3, 2, state=S.BOOTING)]
        assert actions(*half, target=2, wanted=5, batch=2) == [
            DrainWorker(1, 2, "replaced by a later generation")
        ]

    def test_recycling_stays_one_at_a_time_whatever_the_batch(self):
        both = worker(1, 1, recycle="memory"), worker(2, 2, recycle="memory")
        assert actions(*both, batch=2) == [ForkWorker(1, 1)]

    def test_is_complete_when_all_serve(self):
        workers = worker(3, 1, 2, ready_at=98.0), worker(4, 2, 2, ready_at=100.0)
        assert rolled_out(SiteView(2, 2, 0.0, workers))

    @pytest.mark.parametrize(
        "workers",
        [
            (worker(3, 1, 2),),
            (worker(3, 1, 2), worker(4, 2, 2, state=S.BOOTING)),
            (worker(3, 1, 2), worker(4, 2, 2), worker(1, 1, 1)),
        ],
        ids=["one missing", "one booting", "an old one left"],
    )
    def test_is_not_complete_before(self, workers):
        assert not rolled_out(SiteView(2, 2, 0.0, workers))

    def test_old_workers_that_drain_do_not_hold_it_up(self):
        workers = worker(1, 1, 1, state=S.DRAINING), worker(3, 1, 2, ready_at=98.0)
        assert rolled_out(SiteView(1, 2, 0.0, workers))


class TestOneAfterAnother:
    """With rollout.overlap: no."""

    @staticmethod
    def actions(*workers, wanted=2, target=1, fork_at=0.0, alone=1):
        return list(decide(SiteView(wanted, target, fork_at, workers, alone=alone), 100.0).actions)

    def test_a_generation_makes_room_at_once_and_whole(self):
        reason = "makes room for another generation"
        old = worker(1, 1), worker(2, 2, state=S.BOOTING)
        assert self.actions(*old, target=None, alone=2) == [
            DrainWorker(1, 1, reason, last=True),
            DrainWorker(1, 2, reason, last=True),
        ]

    @pytest.mark.parametrize("state", [S.DRAINING, S.ENDING])
    def test_the_next_begins_when_all_of_it_is_gone(self, state):
        assert self.actions(worker(1, 1, state=state), target=2, alone=2) == []
        assert self.actions(target=2, alone=2) == [ForkWorker(2, 1), ForkWorker(2, 2)]

    def test_going_back_is_the_same(self):
        assert self.actions(worker(3, 1, 2), alone=1) == [
            DrainWorker(2, 3, "makes room for another generation", last=True)
        ]

    def test_a_recycled_worker_goes_first(self):
        assert self.actions(worker(1, 1, recycle="memory"), worker(2, 2)) == [DrainWorker(1, 1, "memory")]

    def test_the_only_one_is_the_last_as_long_as_it_has_no_successor(self):
        drain = DrainWorker(1, 1, "memory", last=True)
        assert self.actions(worker(1, 1, recycle="memory"), wanted=1) == [drain]

    @pytest.mark.parametrize("state", [S.DRAINING, S.ENDING])
    def test_its_number_is_forked_when_it_is_gone(self, state):
        assert self.actions(worker(1, 1, state=state, recycle="memory"), worker(2, 2)) == []
        assert self.actions(worker(2, 2)) == [ForkWorker(1, 1)]

    def test_one_at_a_time(self):
        both = worker(1, 1, recycle="memory"), worker(2, 2, recycle="memory")
        assert self.actions(*both) == [DrainWorker(1, 1, "memory")]
        assert self.actions(both[1]) == [ForkWorker(1, 1)]
        assert self.actions(both[1], worker(3, 1, state=S.BOOTING)) == []

    def test_one_less_and_one_more(self):
        assert self.actions(worker(1, 1), worker(2, 2), wanted=1) == [DrainWorker(1, 2, "one worker fewer")]
        assert self.actions(worker(1, 1), worker(2, 2, state=S.DRAINING)) == []

    def test_the_back_off_is_kept(self):
        plan = decide(SiteView(1, 1, 105.0, (), alone=1), 100.0)
        assert (plan.actions, plan.ask_at) == ((), 105.0)

    def test_deadlines_are_kept(self):
        late = worker(1, 1, state=S.DRAINING, deadline=99.0, overdue="too slow")
        assert self.actions(late, target=None, alone=2) == [KillWorker(1, 1, "too slow", cause=None)]


def test_repeating_decisions_comes_to_rest():
    """Carrying out what is decided, with every fork serving at once, ends with the wanted workers."""
    workers = [worker(n, n, 1) for n in range(1, 5)]
    key, now = 10, 100.0
    for _ in range(40):
        plan = decide(SiteView(4, 2, 0.0, tuple(workers)), now)
        for action in plan.actions:
            if isinstance(action, ForkWorker):
                key += 1
                workers.append(worker(key, action.number, 2, ready_at=now))
            else:
                workers = [w for w in workers if w.key != action.worker]
        assert len({w.number for w in workers}) == 4, "nobody is missed"
        if plan.actions:
            continue
        if plan.ask_at is None:
            break
        now = plan.ask_at
    assert sorted((w.number, w.generation) for w in workers) == [(n, 2) for n in range(1, 5)]


class TestFewerWorkersByReload:
    def test_none_goes_before_the_new_generation_has_proven_itself(self):
        workers = [worker(n, n, 1) for n in (1, 2, 3)]
        assert actions(*workers, wanted=1, target=2) == [ForkWorker(2, 1)]
        assert actions(*workers, worker(4, 1, 2, ready_at=100.0), wanted=1, target=2) == []

    def test_then_all_that_are_too_many_go(self):
        workers = [worker(n, n, 1) for n in (1, 2)]
        drained = actions(*workers, worker(4, 1, 2, ready_at=98.0), wanted=1, target=2)
        assert {action.worker for action in drained} == {1, 2}


class TestMemoryIsShort:
    """A worker that has to leave before its replacement is forked."""

    def leaving(self, **more):
        return worker(1, 1, recycle="memory short", leaves_first=True, **more)

    def test_it_is_drained_and_none_is_forked_beside_it(self):
        assert actions(self.leaving(), worker(2, 2)) == [DrainWorker(1, 1, "memory short")]
        assert actions(self.leaving(state=S.DRAINING), worker(2, 2)) == []
        assert actions(worker(2, 2)) == [ForkWorker(1, 1)]

    def test_an_only_one_is_the_last_that_serves(self):
        assert actions(self.leaving(), wanted=1) == [DrainWorker(1, 1, "memory short", last=True)]

    def test_it_stays_while_another_is_missing_or_none_could_be_forked(self):
        assert actions(self.leaving()) == [ForkWorker(1, 2)]
        assert actions(self.leaving(), worker(2, 2), target=None) == []
        assert actions(self.leaving(), worker(2, 2), fork_at=105.0) == []

    def test_a_reload_replaces_it_by_one_of_the_new_generation(self):
        proven = worker(3, 2, generation=2)
        assert actions(self.leaving(state=S.DRAINING), proven, target=2) == []
        assert actions(proven, target=2) == [ForkWorker(2, 1)]
