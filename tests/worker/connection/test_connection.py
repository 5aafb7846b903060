"""Who owns a connection: every turn that taking, calling and letting go can take."""

from __future__ import annotations

import pytest

from superwsgi.worker.connection.states import Event, State
from tests.worker.parts import Peer


@pytest.fixture
def peer():
    with Peer() as peer:
        yield peer


def test_who_makes_it_owns_it(peer):
    assert not peer.connection.take()


def test_nobody_owns_what_was_let_go(peer):
    assert not peer.connection.let_go()
    assert peer.connection.take()
    assert not peer.connection.take()


def test_who_calls_what_nobody_owns_owns_it(peer):
    peer.connection.let_go()
    assert peer.connection.call()
    assert not peer.connection.take()


def test_the_owner_finds_a_call_when_it_lets_go(peer):
    assert not peer.connection.call()
    assert peer.connection.let_go()
    assert not peer.connection.take()


def test_a_call_that_was_heeded_is_over(peer):
    peer.connection.call()
    peer.connection.called = False
    assert not peer.connection.let_go()


def test_a_change_of_state_that_cannot_be_is_a_bug(peer):
    peer.connection.become(Event.CLOSE, 0)
    with pytest.raises(KeyError):
        peer.connection.become(Event.REST, 0)
    assert peer.connection.state is State.CLOSED


def test_a_state_has_its_deadline_and_the_poller_is_told(peer):
    peer.connection.become(Event.HEAD, 1000)
    assert peer.connection.deadline == 1000 + peer.context.waits[State.HEAD]
    assert peer.context.alarm.due <= peer.connection.deadline
