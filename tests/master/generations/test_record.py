"""Starts and reloads by number."""

from superwsgi.control import Outcome
from superwsgi.master.generations.record import Attempts


def test_an_attempt_ends_once():
    attempts = Attempts()
    number = attempts.begin(10.0)
    attempts.generation(7)
    assert attempts.find(number).ended is None
    attempts.end(Outcome.FAILED, 12.5, "reason")
    attempts.end(Outcome.COMPLETE, 13.0)
    ended = attempts.find(number).ended
    assert (ended.outcome, ended.seconds, ended.generation) == (Outcome.FAILED, 2.5, 7)


def test_the_next_one_is_not_there_yet():
    attempts = Attempts()
    attempts.begin(0.0)
    expected = attempts.next
    assert attempts.find(expected) is None
    assert attempts.begin(1.0) == attempts.newest == expected
