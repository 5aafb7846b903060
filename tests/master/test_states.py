"""The state tables, walked over the whole product of states and events."""

from itertools import product

import pytest

from superwsgi.master import states
from superwsgi.master.states import (
    GenerationEvent,
    GenerationState,
    ImpossibleEvent,
    WorkerEvent,
    WorkerState,
)


@pytest.mark.parametrize(("state", "event"), list(product(WorkerState, WorkerEvent)))
def test_every_pair_of_worker_state_and_event_is_decided(state, event):
    if event in states.WORKER[state]:
        assert states.after(states.WORKER, state, event) in WorkerState
    else:
        with pytest.raises(ImpossibleEvent):
            states.after(states.WORKER, state, event)


@pytest.mark.parametrize(("state", "event"), list(product(GenerationState, GenerationEvent)))
def test_every_pair_of_generation_state_and_event_is_decided(state, event):
    if event in states.GENERATION[state]:
        assert states.after(states.GENERATION, state, event) in GenerationState
    else:
        with pytest.raises(ImpossibleEvent):
            states.after(states.GENERATION, state, event)


@pytest.mark.parametrize("state", [s for s in WorkerState if s is not WorkerState.GONE])
def test_a_worker_may_die_in_every_state(state):
    assert states.after(states.WORKER, state, WorkerEvent.EXITED) is WorkerState.GONE


@pytest.mark.parametrize("state", [s for s in WorkerState if s is not WorkerState.GONE])
def test_a_worker_may_be_ended_in_every_state(state):
    assert states.after(states.WORKER, state, WorkerEvent.STOP) is WorkerState.ENDING


@pytest.mark.parametrize("state", [s for s in GenerationState if s is not GenerationState.GONE])
def test_a_generation_may_be_told_to_retire_in_every_state(state):
    """TERM comes whenever it comes."""
    after = states.after(states.GENERATION, state, GenerationEvent.RETIRE)
    assert after in (GenerationState.RETIRING, GenerationState.FAILED)


def test_nothing_leaves_gone():
    assert not states.WORKER[WorkerState.GONE]
    assert not states.GENERATION[GenerationState.GONE]
