"""Log files that are opened while the loop goes on."""

import threading
import time

import pytest

from superwsgi.config.sections import Log
from superwsgi.log.files import LogTargetError
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.resources import LogFiles, Opening


@pytest.fixture
def loop():
    with EventLoop(lambda error, _: pytest.fail(str(error))) as loop:
        yield loop


def opened(loop, settings):
    """What comes of it, in a turn of the loop."""
    told = []
    Opening(loop, settings, lambda result, _: told.append((result, threading.current_thread())))
    assert told == [], "never before the next turn"
    deadline = time.monotonic() + 60
    while not told:
        assert time.monotonic() < deadline
        loop.turn(deadline)
    ((result, thread),) = told
    assert thread is threading.current_thread()
    return result


def test_files_are_opened_in_another_thread_and_told_of_in_the_loops(loop, tmp_path):
    files = opened(loop, Log(error=str(tmp_path / "error"), access="off"))
    assert isinstance(files, LogFiles)
    assert (files.error is None, files.access) == (False, None)
    files.close()


def test_what_cannot_be_opened_is_told_of(loop, tmp_path):
    error = opened(loop, Log(error="off", access=str(tmp_path / "no" / "access")))
    assert isinstance(error, LogTargetError)
    assert error.reason == f"the folder {tmp_path}/no does not exist"


def test_nothing_is_left_open(loop, tmp_path):
    before = loop.descriptors()
    opened(loop, Log(error="off", access="off"))
    assert loop.descriptors() == before


def test_files_are_taken_under_the_old_numbers(tmp_path):
    files = LogFiles.yet_to_open(Log())
    for name in ("first", "second"):
        anew = LogFiles.open(Log(error=str(tmp_path / name), access="off"))
        number = files.error
        files.switch_to(anew)
        assert number in (None, files.error)
        with open(files.error, "w", closefd=False) as file:
            file.write(name)
    files.close()
    assert [(tmp_path / name).read_text() for name in ("first", "second")] == ["first", "second"]
