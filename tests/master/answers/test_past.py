"""What is remembered of how a site has answered."""

import msgspec

from superwsgi.board.path_table import OTHER, Series
from superwsgi.master.answers.evidence import NOTHING, Answered
from superwsgi.master.answers.past import ENOUGH, HOUR, HOURS, Hour, Past

PAGE = Series(0, "/page")
FINE, BAD = Answered(0, 100, 100), Answered(50, 50, 50)


def past_of(*minutes):
    """Each minute's answers, one after another."""
    past = Past()
    for minute, answered in enumerate(minutes):
        past.add({PAGE: answered}, minute * 60.0)
    past.cut(len(minutes) * 60.0)
    return past


def test_nothing_is_known_of_a_page_that_nobody_has_asked_for():
    assert past_of(FINE).reference(Series(0, "/other")).together == NOTHING


def test_all_together_and_the_second_worst_minute():
    worst, bad, fair = Answered(60, 40, 40), Answered(30, 70, 70), Answered(1, 99, 99)
    reference = past_of(FINE, bad, worst, fair).reference(PAGE)
    assert reference.together == FINE + bad + worst + fair
    assert reference.times == (bad,)


def test_one_bad_minute_is_no_habit():
    assert past_of(FINE, BAD, FINE).reference(PAGE).times == ()


def test_looks_of_one_minute_are_one_time():
    past = Past()
    for look in range(120):
        past.add({PAGE: Answered(1, 1, 1)}, float(look))
    past.cut(120.0)
    assert past.reference(PAGE).times == (Answered(60, 60, 60),)


def test_what_is_answered_beside_a_new_generation_is_a_time_of_its_own():
    past = past_of(FINE)
    past.add({PAGE: BAD}, 60.0)
    reference = past.reference(PAGE)
    assert (reference.together, reference.times) == (FINE, (BAD,))


def test_the_newest_hours_count_as_long_as_they_say_enough():
    past = Past()
    many = Answered(0, ENOUGH, ENOUGH)
    for hour, answered in enumerate((BAD, FINE, many)):
        past.add({PAGE: answered}, hour * HOUR)
        past.cut(hour * HOUR)
    assert past.reference(PAGE).together == many
    past.add({PAGE: FINE}, 3 * HOUR)
    past.cut(3 * HOUR)
    assert past.reference(PAGE).together == FINE + many


def test_a_generation_that_takes_over_begins_an_hour_of_its_own():
    past = past_of(Answered(900, 100, 100))
    past.succeed({PAGE: Answered(0, ENOUGH, ENOUGH)}, 100.0)
    past.cut(200.0)
    assert past.reference(PAGE).together.failed == 0


def test_what_is_old_is_forgotten():
    past = past_of(FINE)
    for hour in range(1, 3 * HOURS):
        past.add({Series(0, f"/{hour}"): FINE}, hour * HOUR)
        past.cut(hour * HOUR)
    assert past.reference(PAGE).together == NOTHING
    assert len(past.hold(0.0)) <= HOURS + 1


def test_kinds_without_number_count_together():
    past = Past()
    past.add({Series(0, f"/{number}"): FINE for number in range(1000)}, 0.0)
    past.cut(60.0)
    (hour,) = past.hold(60.0)
    assert len(hour.kinds) <= 257
    assert sum(kind.together.good for kind in hour.kinds) == 100_000
    assert past.reference(Series(0, OTHER)).together.good > 70_000


def test_the_next_program_remembers_the_same():
    past = past_of(FINE, BAD, BAD)
    told = msgspec.json.decode(msgspec.json.encode(past.hold(200.0)), type=list[Hour])
    again = Past(told, 200.0)
    assert again.reference(PAGE) == past.reference(PAGE)
    assert again.reference(PAGE).times == (BAD,)
