"""What `superwsgi profile` prints: the guilty lines, in 80 columns."""

from superwsgi.profiles.hottest import spell
from superwsgi.samples import Frame, Sampled, Stack
from tests.profiles.made import EMPTY, PROFILE, profile, sampled, told


def test_each_group_with_the_lines_that_take_the_time():
    lines = [*spell(PROFILE)]
    assert lines[0] == "GET /report/*  57.1% of the time in requests, 8s"
    assert lines[2:5] == [
        "    0.0%  100.0%  report                      /srv/shop/views.py:34",
        "   75.0%   75.0%  Cursor.execute              ….13/site-packages/db/cursor.py:97",
        lines[4],
    ]
    assert lines[4].startswith("   25.0%   25.0%  <lambda>  ")
    assert lines[6] == "GET /  42.9% of the time in requests, 6s"
    assert all(line.isprintable() for line in lines)
    assert all(len(line) <= 80 for line in lines[:9])


def test_its_own_error_and_who_is_not_in_it():
    lines = [*spell(PROFILE)]
    assert lines[-3] == "1980 of 2000 samples, 0.4ms late on average, 500ms at worst; 1.0% of a CPU"
    assert lines[-2].startswith("late samples: C code held the interpreter")
    assert lines[-1] == "worker 3 (pid 4703) is not in it: died before it told what it had found"


def test_a_forged_one_that_took_no_time():
    assert next(spell(profile(told(1, sampled((0, [0, 2], 0.0, 1)))))).startswith("no request")


def test_samples_that_were_left_out():
    (said,) = [
        each for each in spell(profile(told(1, sampled((0, [0], 1.0, 9), taken=400)))) if "left out" in each
    ]
    assert said.endswith("each of the others counts for more time")


def test_one_that_calls_itself_has_its_time_once():
    frames = [Frame("walk", "/srv/tree.py", 1, line) for line in (3, 4)]
    found = Sampled(["GET /"], frames, [Stack(0, [0, 1, 0, 1], 2.0, 200)], 2.0, 200, 200, 0.0, 0.0, 0.0)
    assert "  100.0%  100.0%  walk                        /srv/tree.py:4" in [*spell(profile(told(1, found)))]


def test_nothing_was_found():
    assert next(spell(EMPTY)) == "no request was in the application within 10s"
    assert next(spell(profile(told(1, None, "is ending")))) == "no worker could be profiled"
    nothing = profile(told(1, sampled(groups=())), path="/x", cpu=True)
    assert next(spell(nothing)) == "no request for /x computed within 10s"


def test_many_groups():
    groups = [f"GET /{number}" for number in range(9)]
    found = sampled(*((number, [0], 1.0, 100) for number in range(9)), groups=groups)
    assert "4 more groups of requests, 44.4% of the time" in [*spell(profile(told(1, found)))]
