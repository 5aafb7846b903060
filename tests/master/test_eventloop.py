"""The master's event loop, with real signals to this process."""

import signal
import time

import pytest

from superwsgi.master.eventloop import EventLoop


@pytest.fixture
def loop():
    with EventLoop() as loop:
        yield loop


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
    with EventLoop() as loop:
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
