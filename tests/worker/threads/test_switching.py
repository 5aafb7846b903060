"""How soon the GIL is given up: less while somebody samples, and afterwards as before."""

import sys

import pytest

from superwsgi.worker.threads import switching
from superwsgi.worker.threads.switching import SOON


@pytest.fixture(autouse=True)
def usual():
    before = sys.getswitchinterval()
    yield before
    switching.make_usual()
    sys.setswitchinterval(before)


def test_it_is_as_before_in_the_end(usual):
    switching.make_soon()
    switching.make_soon()
    assert sys.getswitchinterval() == SOON
    switching.make_usual()
    assert sys.getswitchinterval() == usual
    switching.make_usual()
    assert sys.getswitchinterval() == usual


def test_what_the_application_sets_meanwhile_stays():
    switching.make_soon()
    sys.setswitchinterval(0.02)
    switching.make_usual()
    assert sys.getswitchinterval() == pytest.approx(0.02)


def test_what_is_shorter_already_stays():
    sys.setswitchinterval(SOON / 5)
    switching.make_soon()
    assert sys.getswitchinterval() == pytest.approx(SOON / 5)
    switching.make_usual()
    assert sys.getswitchinterval() == pytest.approx(SOON / 5)


def test_a_sleep_as_usual_leaves_it_as_it_was(usual):
    assert switching.sleep_as_usual(0.0001) >= 100_000
    switching.make_soon()
    assert switching.sleep_as_usual(0.0001) >= 100_000
    assert sys.getswitchinterval() == SOON
