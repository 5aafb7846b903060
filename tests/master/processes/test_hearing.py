"""What is believed of molds and workers: the tables, walked over the whole product, and real channels."""

import os
import typing
from itertools import product

import pytest

from superwsgi import messages
from superwsgi.channel import Forged
from superwsgi.master import states
from superwsgi.master.processes import hearing
from superwsgi.master.processes.hearing import MOLD, WORKER, Said
from superwsgi.master.states import WorkerEvent, WorkerState
from superwsgi.messages import Started
from tests.shared.test_messages import EXAMPLES

WORDS = [example for example in EXAMPLES if type(example) in typing.get_args(messages.Word)]
EVENTS = {messages.Started: WorkerEvent.STARTED, messages.Ready: WorkerEvent.READY}
ME = os.getpid()


@pytest.mark.parametrize("table", [WORKER, MOLD], ids=["worker", "mold"])
@pytest.mark.parametrize(("said", "word"), list(product(Said, WORDS)), ids=lambda value: type(value).__name__)
def test_every_pair_is_decided(table, said, word):
    if type(word) in table[said]:
        assert hearing.after(table, said, word, sender=ME, of=ME) in Said
    else:
        with pytest.raises(Forged, match=f"{type(word).__name__} after {said.value}"):
            hearing.after(table, said, word, sender=ME, of=ME)


@pytest.mark.parametrize("word", WORDS, ids=lambda word: type(word).__name__)
@pytest.mark.parametrize("table", [WORKER, MOLD], ids=["worker", "mold"])
def test_nobody_speaks_for_another_process(table, word):
    for said in table:
        with pytest.raises(Forged, match="from process 1"):
            hearing.after(table, said, word, sender=1, of=ME)


def test_nothing_is_said_twice_but_failed_forks_answers_and_what_has_gone_wrong():
    again = [
        word
        for table in (WORKER, MOLD)
        for said in table
        for word in table[said]
        if table[said][word] is said
    ]
    assert set(again) == {messages.ForkFailed, messages.Grows, messages.ThreadsAt, messages.WentWrong}


def reachable(state, said):
    """The worker's states and words that can come together, whatever the master does in between."""
    yield state, said
    for event in (WorkerEvent.DRAIN, WorkerEvent.STOP):
        if event in states.WORKER[state] and states.WORKER[state][event] is not state:
            yield from reachable(states.WORKER[state][event], said)
    for word, then in WORKER[said].items():
        if then is said:
            continue
        event = EVENTS.get(word)
        if event is None and then is said:
            continue
        yield from reachable(state if event is None else states.WORKER[state][event], then)


def test_a_word_that_is_believed_is_always_possible_in_the_masters_state():
    """A KeyError here would be the master's end."""
    seen = set(reachable(WorkerState.FORKING, Said.NOTHING))
    assert (WorkerState.ENDING, Said.NOTHING) in seen
    assert (WorkerState.DRAINING, Said.LAST) in seen


class TestBeginner:
    """Who may say that it is a worker."""

    def test_a_new_child(self):
        assert hearing.beginner(Started(ME), sender=ME, is_free=lambda pid: pid == ME) == ME

    def test_not_in_the_name_of_another(self):
        with pytest.raises(Forged, match=f"as process 1 from process {ME}"):
            hearing.beginner(Started(1), sender=ME, is_free=lambda pid: True)

    def test_no_stranger_and_nobody_twice(self):
        with pytest.raises(Forged, match="not a new child of the master"):
            hearing.beginner(Started(ME), sender=ME, is_free=lambda pid: False)

    @pytest.mark.parametrize("word", [w for w in WORDS if not isinstance(w, Started)])
    def test_nothing_else_first(self, word):
        with pytest.raises(Forged, match="after nothing"):
            hearing.beginner(word, sender=ME, is_free=lambda pid: True)
