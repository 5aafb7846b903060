"""The number of workers, as the load, operators and other generations change it."""

from superwsgi.master.scaling.numbers import WorkerNumbers


def numbers(wanted=2, least=2, most=8):
    return WorkerNumbers(least, most, most + 16, wanted)


def test_a_range_is_elastic_until_it_is_pinned():
    assert numbers().elastic
    assert not numbers(4, 4, 4).elastic
    own = numbers()
    assert own.pin(5) == 5
    assert not own.elastic
    assert own.unpin() == 5
    assert own.elastic


def test_an_operator_may_leave_the_range_and_comes_back_into_it():
    own = numbers()
    assert own.pin(1) == 1
    assert own.unpin() == 2
    assert own.pin(100) == 24
    assert own.unpin() == 8


def test_those_that_were_added_are_expected_until_they_serve():
    own = numbers()
    own.scale(5)
    assert own.expected == {3, 4, 5}
    own.serves(4)
    own.serves(1)
    assert (own.expected, own.arrived) == ({3, 5}, True)
    own.scale(3)
    assert own.expected == {3}


def test_the_next_generation_begins_with_as_many():
    current = numbers(6)
    for least, most, wanted in [(2, 8, 6), (1, 4, 4), (7, 9, 7), (3, 3, 3)]:
        after = WorkerNumbers(least, most, most + 16, least)
        after.succeed(current)
        assert after.wanted == wanted
        assert after.expected == set()


def test_back_from_one_that_failed_there_are_not_fewer():
    current = numbers(3)
    current.resume(numbers(6))
    assert current.wanted == 6
    current.resume(numbers(2))
    assert current.wanted == 6
    current.resume(numbers(20, most=20))
    assert current.wanted == 8


def test_a_number_that_was_asked_for_stays():
    current = numbers()
    current.pin(3)
    current.resume(numbers(6))
    assert current.wanted == 3
