"""Which companions are started, told to end and killed, and in what order."""

from itertools import product

import pytest

from superwsgi.master.companions.policy import (
    PROOF,
    ClearCompanion,
    CompanionView,
    ForgetCompanion,
    KillCompanion,
    StartCompanion,
    TellCompanion,
    decide,
)
from superwsgi.master.companions.states import COMPANION, CompanionEvent, CompanionState
from superwsgi.master.states import ImpossibleEvent, after

NOW = 1000.0
WAITING, RUNNING, ENDING, KILLED, CLEARING = CompanionState


def view(key=1, state=RUNNING, name="mail", **more):
    return CompanionView(key, name, state, **{"began": NOW - 60, **more})


def steps(*views, now=NOW):
    return list(decide(views, now).steps)


@pytest.mark.parametrize(("state", "event"), list(product(CompanionState, CompanionEvent)))
def test_every_pair_of_state_and_event_is_decided(state, event):
    if event in COMPANION[state]:
        assert after(COMPANION, state, event) in CompanionState
    else:
        with pytest.raises(ImpossibleEvent):
            after(COMPANION, state, event)


@pytest.mark.parametrize("state", [RUNNING, ENDING, KILLED])
def test_a_process_may_die_in_every_state(state):
    assert after(COMPANION, state, CompanionEvent.EXITED) is CLEARING


def test_one_that_is_missing_is_started_once_it_may_be():
    waits = view(state=WAITING, start_at=NOW + 3)
    assert steps(waits) == []
    assert decide([waits], NOW).ask_at == NOW + 3
    assert steps(waits, now=NOW + 3) == [StartCompanion(1)]


def test_one_that_runs_and_is_to_run_is_left_alone():
    assert decide([view(), view(2), view(3, name="beat")], NOW).steps == ()
    assert decide([view()], NOW).ask_at is None


def test_one_that_is_not_wanted_ends_and_is_forgotten():
    assert steps(view(wanted=False, due="gone")) == [TellCompanion(1, "gone")]
    assert steps(view(state=ENDING, wanted=False, deadline=NOW + 1)) == []
    assert steps(view(state=WAITING, wanted=False)) == [ForgetCompanion(1)]


def test_while_workers_drain_it_goes_on_and_none_is_started():
    assert steps(view(wanted=False, kept=True), view(2, WAITING, wanted=False, kept=True)) == [
        ForgetCompanion(2)
    ]


def test_one_that_does_not_end_is_killed_once():
    ends = view(state=ENDING, deadline=NOW + 5)
    assert decide([ends], NOW).ask_at == NOW + 5
    assert steps(ends, now=NOW + 5) == [KillCompanion(1)]
    assert steps(view(state=KILLED, deadline=NOW)) == []


def test_what_it_has_left_is_looked_for():
    assert steps(view(state=CLEARING, look_at=NOW)) == [ClearCompanion(1)]
    assert decide([view(state=CLEARING, look_at=NOW + 0.1)], NOW).ask_at == NOW + 0.1


def test_one_alone_is_told_to_end_before_another_is_started():
    assert steps(view(due="new")) == [TellCompanion(1, "new")]
    for state in (ENDING, KILLED, CLEARING):
        assert steps(view(state=state, due="new", deadline=NOW + 9, look_at=NOW + 9)) == []


def test_of_several_one_is_exchanged_at_a_time():
    old = [view(key, due="new") for key in (1, 2, 3)]
    assert steps(*old) == [TellCompanion(1, "new")]
    for state in (ENDING, KILLED, CLEARING, WAITING):
        first = view(1, state, deadline=NOW + 9, look_at=NOW + 9, start_at=NOW + 9)
        assert steps(first, *old[1:]) == []


def test_the_next_waits_until_the_one_before_has_stayed():
    old, new = view(2, due="new"), view(1, began=NOW)
    assert steps(new, old) == []
    assert decide([new, old], NOW).ask_at == NOW + PROOF
    assert steps(new, old, now=NOW + PROOF) == [TellCompanion(2, "new")]


def test_companions_do_not_wait_for_each_other():
    assert steps(view(1, due="new"), view(2, name="beat", due="new")) == [
        TellCompanion(1, "new"),
        TellCompanion(2, "new"),
    ]


def test_one_that_is_not_wanted_any_more_is_in_nobodys_way_once_it_is_gone():
    due = view(1, due="new")
    assert steps(view(2, ENDING, wanted=False, deadline=NOW + 9), due) == []
    assert steps(view(2, WAITING, wanted=False), due) == [ForgetCompanion(2), TellCompanion(1, "new")]
