"""The master's event loop, with real signals to this process."""

import os
import signal
import time

import pytest

from superwsgi.master.eventloop import PAUSE, EventLoop


@pytest.fixture
def errors():
    """What the loop has told of, by its text."""
    return []


@pytest.fixture
def loop(errors):
    with EventLoop(lambda error, _: errors.append(str(error))) as loop:
        yield loop


def fail(*_):
    raise RuntimeError("broken")


@pytest.mark.parametrize(("each", "called"), [(True, 3), (False, 1)])
def test_signals_of_one_turn(loop, each, called):
    seen = []
    loop.on_signal([signal.SIGTTIN], lambda number, _: seen.append(number), each=each)
    for _ in range(3):
        signal.raise_signal(signal.SIGTTIN)
    loop.turn(None)
    assert seen == [signal.SIGTTIN] * called


def test_handlers_are_put_back():
    before = signal.getsignal(signal.SIGTTIN)
    with EventLoop(fail) as loop:
        loop.on_signal([signal.SIGTTIN], lambda *_: None)
        assert signal.getsignal(signal.SIGTTIN) != before
    assert signal.getsignal(signal.SIGTTIN) == before
    assert signal.set_wakeup_fd(-1) == -1


def test_a_timer_runs_once_when_it_is_due(loop):
    ran = []
    loop.call_at(time.monotonic(), ran.append)
    loop.turn(time.monotonic())
    loop.turn(time.monotonic())
    assert len(ran) == 1


class TestWhatACallbackRaises:
    def test_ends_no_other_timer(self, loop, errors):
        ran = []
        now = time.monotonic()
        loop.call_at(now, fail)
        loop.call_at(now, ran.append)
        loop.turn(now)
        assert errors == ["broken"]
        assert len(ran) == 1

    def test_ends_no_other_signal(self, loop, errors):
        ran = []
        loop.on_signal([signal.SIGTTIN], fail)
        loop.on_signal([signal.SIGTTOU], lambda number, _: ran.append(number))
        signal.raise_signal(signal.SIGTTIN)
        signal.raise_signal(signal.SIGTTOU)
        loop.turn(None)
        assert (errors, ran) == (["broken"], [signal.SIGTTOU])

    @pytest.fixture
    def readable(self):
        reading, writing = os.pipe()
        os.write(writing, b"1")
        yield reading
        os.close(reading)
        os.close(writing)

    def turn_for(self, loop, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            loop.turn(end)

    def test_costs_a_descriptor_that_stays_ready_a_pause(self, loop, errors, readable):
        loop.on_readable(readable, fail)
        self.turn_for(loop, 1.5 * PAUSE)
        assert errors == ["broken"] * 2

    def test_does_not_watch_again_what_was_forgotten_meanwhile(self, loop, errors, readable):
        loop.on_readable(readable, fail)
        loop.turn(None)
        loop.forget(readable)
        self.turn_for(loop, 1.5 * PAUSE)
        assert errors == ["broken"]

    def test_does_not_outlast_another_interest(self, loop, errors, readable):
        loop.on_readable(readable, fail)
        loop.turn(None)
        loop.on_readable(readable, lambda _: os.read(readable, 1))
        self.turn_for(loop, 1.5 * PAUSE)
        assert errors == ["broken"]
        assert loop.guard(lambda now: now, 7.0, None) == 7.0
