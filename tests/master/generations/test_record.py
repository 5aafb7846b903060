"""Starts and reloads by number."""

from superwsgi.control import Outcome
from superwsgi.master.generations.record import Record


def test_an_attempt_ends_once():
    record = Record()
    number = record.begin(10.0)
    record.generation(7)
    assert record.find(number).ended is None
    record.end(Outcome.FAILED, 12.5, "reason")
    record.end(Outcome.COMPLETE, 13.0)
    ended = record.find(number).ended
    assert (ended.outcome, ended.seconds, ended.generation) == (Outcome.FAILED, 2.5, 7)


def test_reloads_are_counted_by_outcome_but_not_the_start():
    record = Record()
    record.begin(0.0, start=True)
    record.complete(1.0)
    for outcome in (Outcome.REFUSED, Outcome.REFUSED, Outcome.SUPERSEDED):
        record.begin(2.0)
        record.end(outcome, 3.0)
        record.end(Outcome.COMPLETE, 4.0)
    assert record.reloads == {Outcome.COMPLETE: 0, Outcome.REFUSED: 2, Outcome.SUPERSEDED: 1}


def test_the_next_one_is_not_there_yet():
    record = Record()
    record.begin(0.0)
    expected = record.next
    assert record.find(expected) is None
    assert record.begin(1.0) == record.newest == expected
