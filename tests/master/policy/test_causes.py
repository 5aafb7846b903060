"""Why a worker had to be replaced: how it ended, and what for, in; a word out."""

import signal

import pytest

from superwsgi.master.policy.causes import Cause, EndView, classify


def end(code=0, **more):
    said = {"asked_to_go": False, "cause": None, "failed": False, "served": True, **more}
    return classify(EndView(code=code, **said))


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        (-signal.SIGSEGV, Cause.CRASH),
        (-signal.SIGABRT, Cause.CRASH),
        (-signal.SIGKILL, Cause.KILLED),
        (-signal.SIGTERM, Cause.KILLED),
        (0, Cause.EXIT),
        (3, Cause.EXIT),
    ],
)
def test_one_that_nobody_asked_to_go(code, cause):
    assert end(code) is cause
    assert end(code, served=False) is Cause.BOOT
    assert end(code, asked_to_go=True) is None, "it was on its way"


@pytest.mark.parametrize("cause", Cause)
def test_one_that_is_ended_for_something_wrong_with_it(cause):
    for code in (0, -signal.SIGKILL, -signal.SIGSEGV):
        assert end(code, asked_to_go=True, cause=cause) is cause


def test_memory_that_ran_out():
    assert end(-signal.SIGKILL, memory_ran_out=True) is Cause.OUT_OF_MEMORY


def test_one_that_failed():
    assert end(1, failed=True, served=False) is Cause.BOOT
    assert end(None, served=False) is Cause.BOOT, "it never was a process"
    assert end(-signal.SIGKILL, failed=True) is Cause.BROKEN
