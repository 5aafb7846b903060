"""The tables of a connection's states: the whole product of each."""

from __future__ import annotations

import itertools

import pytest

from superwsgi.config.sections import Timeouts
from superwsgi.worker.connection.states import NEXT, NEXT_SENDING, Act, Event, Sending, State, waits

READING = {State.NEW, State.IDLE, State.HEAD, State.BODY}


def expected(state, event):
    if state is State.CLOSED:
        return None
    if event is Event.CLOSE:
        return State.CLOSED
    if state is State.LINGERING:
        return None
    if state is State.PROXY or event in (Event.INTRODUCE, Event.SECURE):
        targets = {Event.INTRODUCE: State.NEW, Event.SECURE: State.HANDSHAKE}
        return targets.get(event) if state is State.PROXY else None
    if event is Event.LAST:
        return State.LINGERING
    if event is Event.UPGRADE:
        return State.UPGRADED if state is State.RUNNING else None
    if state is State.UPGRADED:
        return None
    if event is Event.REST:
        targets = {State.HANDSHAKE: State.NEW, State.RUNNING: State.IDLE, State.SENDING: State.IDLE}
        return targets.get(state)
    if event is Event.BLOCK:
        return State.SENDING if state is not State.SENDING else None
    if event is Event.RUN:
        return State.RUNNING if state in READING | {State.QUEUED} else None
    targets = {Event.HEAD: State.HEAD, Event.BODY: State.BODY, Event.QUEUE: State.QUEUED}
    return targets[event] if state in READING else None


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_pair(state, event):
    assert NEXT[state].get(event) is expected(state, event)


def test_every_state_has_its_wait():
    assert set(waits(Timeouts())) == set(State)


def expected_of_sender(state, act):
    if act is Act.CUT or (state is Sending.CUT and act is Act.ANSWER):
        return Sending.CUT
    if state is Sending.CUT:
        return None
    if act is Act.SHUT:
        return Sending.SHUT
    if state is Sending.SHUT:
        return None
    if state is Sending.HELD:
        return Sending.SENT if act is Act.END else None
    if state is Sending.SENT and act in (Act.HOLD, Act.END):
        return None
    targets = {
        Act.ANSWER: Sending.UNSENT,
        Act.SEND: Sending.BEGUN,
        Act.HOLD: Sending.HELD,
        Act.END: Sending.SENT,
    }
    return targets[act]


@pytest.mark.parametrize(("state", "act"), list(itertools.product(Sending, Act)))
def test_every_pair_of_a_sender(state, act):
    assert NEXT_SENDING[state].get(act) is expected_of_sender(state, act)
