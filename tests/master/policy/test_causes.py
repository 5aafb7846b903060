"""Why a worker had to be replaced: how it ended, and what for, in; a word out."""

import signal

import pytest

from superwsgi.master.policy.causes import Cause, EndView, classify, may_be_of_a_request


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


def by_a_request(code, accepting=True, **more):
    said = {"asked_to_go": False, "cause": None, "failed": False, "served": True, **more}
    return may_be_of_a_request(EndView(code=code, **said), accepting=accepting)


def test_what_a_request_can_do():
    assert by_a_request(-signal.SIGSEGV)
    assert by_a_request(-signal.SIGABRT, asked_to_go=True), "also while it drains"
    assert by_a_request(0)
    assert by_a_request(3, accepting=False)
    assert by_a_request(-signal.SIGKILL, memory_ran_out=True)
    assert by_a_request(-signal.SIGKILL, asked_to_go=True, cause=Cause.HANG)
    assert by_a_request(-signal.SIGKILL, asked_to_go=True, cause=Cause.MEMORY_HARD)


def test_what_no_request_does():
    assert not by_a_request(-signal.SIGKILL), "an operator"
    assert not by_a_request(-signal.SIGTERM)
    assert not by_a_request(0, accepting=False), "it was told to"
    assert not by_a_request(1, asked_to_go=True, cause=Cause.MEMORY_SOFT)
    assert not by_a_request(-signal.SIGKILL, asked_to_go=True)
    assert not by_a_request(-signal.SIGKILL, asked_to_go=True, cause=Cause.STOPPED)
    assert not by_a_request(-signal.SIGSEGV, served=False), "a boot"
    assert not by_a_request(1, failed=True, served=False)
