import fcntl
import os
import time

import pytest

from superwsgi.master.eventloop import EventLoop
from superwsgi.master.generations.pipes import Output
from tests.e2e.daemon import wait_for


@pytest.fixture
def loop():
    with EventLoop(lambda error, _: pytest.fail(str(error))) as loop:
        yield loop


class Heard:
    """The lines of an output, by turns of the loop."""

    def __init__(self, loop):
        self.loop = loop
        self.said = []
        self.output = Output(loop)
        self.output.tell(self.said.append)

    def write(self, data):
        os.write(self.output.ends[1], data)

    def until(self, condition):
        def turned():
            self.loop.turn(time.monotonic())
            return condition()

        wait_for(turned)


@pytest.fixture
def heard(loop):
    heard = Heard(loop)
    yield heard
    if not is_closed(heard.output.ends[1]):
        heard.output.close()
    heard.until(lambda: is_closed(heard.output.ends[0]))


def is_closed(fd):
    try:
        os.fstat(fd)
    except OSError:
        return True
    return False


def test_whole_lines_at_once_and_an_unfinished_one_after_a_while(heard):
    heard.write(b"one\ntwo\nno ")
    heard.until(lambda: heard.said == [b"one\ntwo\n"])
    heard.write(b"end")
    heard.until(lambda: heard.said[1:])
    assert heard.said[1:] == [b"no end"]
    heard.write(b"next\n")
    heard.until(lambda: heard.said[2:])
    assert heard.said[2:] == [b"next\n"]


def test_at_a_death_all_of_it(heard):
    heard.write(b"line\n" * 10_000 + b"last")
    heard.output.hear_all()
    assert b"".join(heard.said) == b"line\n" * 10_000 + b"last"


def test_a_line_without_an_end_is_not_kept(heard):
    heard.write(b"x" * 60_000)
    heard.until(lambda: heard.said)
    heard.write(b"y" * 10)
    heard.until(lambda: heard.said[1:])
    heard.write(b"x" * 65_536)
    heard.until(lambda: heard.said[2:])
    assert [*map(len, heard.said)][:2] == [60_000, 10]
    heard.write(b"y\n")
    heard.until(lambda: sum(map(len, heard.said)) == 60_000 + 10 + 65_536 + 2)


def test_who_still_has_it_is_heard_after_the_generation(heard):
    theirs = os.dup(heard.output.ends[1])
    heard.output.close()
    os.write(theirs, b"still here\n")
    heard.until(lambda: heard.said == [b"still here\n"])
    os.write(theirs, b"and gone")
    os.close(theirs)
    heard.until(lambda: is_closed(heard.output.ends[0]))
    assert heard.said == [b"still here\n", b"and gone"]


def test_writers_wait_while_it_is_full(heard):
    assert os.get_blocking(heard.output.ends[1])
    assert not os.get_blocking(heard.output.ends[0])


def test_a_death_among_a_flood_does_not_hold_up_the_loop(heard):
    """The reader of a flood takes a default pipe's worth at a death, and the rest in its turns."""
    lines = b"\n" * (256 << 10)
    assert fcntl.fcntl(heard.output.ends[1], fcntl.F_SETPIPE_SZ, len(lines)) >= len(lines)
    heard.write(lines)
    heard.output.hear_all()
    assert 64 << 10 <= sum(map(len, heard.said)) <= 80 << 10
    heard.until(lambda: sum(map(len, heard.said)) == len(lines))
