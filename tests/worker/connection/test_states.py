"""The table of a connection's states: the whole product."""

from __future__ import annotations

import itertools

import pytest

from superwsgi.config.schema import Timeouts
from superwsgi.worker.connection.states import NEXT, Event, State, waits

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
