"""What is told of what happens again and again; times are seconds here."""

from superwsgi.log.rate_limit import REPEATED, Repeats

SECOND = 10**9


def told(repeats, key, *times):
    return [repeats.told("error", key, int(time * SECOND)) for time in times]


def test_at_first_each_time():
    assert told(Repeats(), "mold lost", *range(8)) == [("error", {})] * 8


def test_then_every_ten_minutes_with_how_often_it_was_not():
    """A day with one every half minute."""
    repeats = Repeats()
    said = [each for each in told(repeats, "mold lost", *range(0, 86400, 30)) if each[0] == "error"]
    assert 140 <= len(said) - 8 <= 144
    assert said[-1] == ("error", {"repeated": 19})


def test_each_for_itself():
    repeats = Repeats()
    told(repeats, "mold lost", *range(20))
    assert told(repeats, "died", 21) == [("error", {})]
    assert told(repeats, "mold lost", 21) == [("debug", {})]


def test_what_has_not_happened_for_long_is_news():
    repeats = Repeats()
    told(repeats, "died", *range(20))
    assert told(repeats, "died", 20 + REPEATED / SECOND) == [("error", {})]


def test_it_is_bounded():
    repeats = Repeats()
    for number in range(3000):
        told(repeats, number, number)
    assert len(repeats._told) <= 1000
