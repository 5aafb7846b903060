"""What may be profiled, and how long the documents are kept."""

import pytest

from superwsgi.admin.profiling import (
    KEPT_FOR,
    MOST_BYTES,
    MOST_KEPT,
    Documents,
    OfProfile,
    ProfileDocument,
    document,
)
from superwsgi.control import Profile

PROFILE = Profile(site="shop", of=None, seconds=1.0, rate=100.0, cpu=False, path=None, workers=[])
SMALL = ProfileDocument("text/html", "", b"small")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def documents(clock):
    return Documents(clock)


def test_one_is_found_by_its_name_alone(documents):
    kept = documents.keep(PROFILE, SMALL)
    assert documents.find(kept.id) is SMALL
    assert documents.find(kept.id[:-1]) is None
    assert len(kept.id) >= 20
    assert kept.samples == 0


def test_it_is_forgotten_after_some_minutes(documents, clock):
    kept = documents.keep(PROFILE, SMALL)
    clock.now = KEPT_FOR + 1
    assert documents.find(kept.id) is None


def test_the_oldest_goes_where_there_are_too_many(documents):
    kept = [documents.keep(PROFILE, SMALL).id for _ in range(MOST_KEPT + 1)]
    assert [documents.find(each) is None for each in kept] == [True] + [False] * MOST_KEPT


def test_a_large_one_is_kept_alone(documents):
    first = documents.keep(PROFILE, SMALL).id
    large = documents.keep(PROFILE, ProfileDocument("text/html", "", bytes(MOST_BYTES + 1))).id
    assert documents.find(first) is None
    assert documents.find(large) is not None


@pytest.mark.parametrize(
    "wrong", [{"seconds": 0.5}, {"seconds": float("nan")}, {"seconds": 301.0}, {"path": "report"}]
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match=r"seconds are|path begins"):
        OfProfile(**wrong).request()


@pytest.mark.parametrize("wanted", ["html", "speedscope", "collapsed"])
def test_each_format_has_its_kind(wanted):
    made = document(PROFILE, wanted)
    assert made.kind.startswith(("text/html", "application/json", "text/plain"))
    assert bool(made.name) == (wanted != "html")
