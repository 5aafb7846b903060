"""What a worker's threads say of themselves."""

import threading

from superwsgi import messages
from superwsgi.messages import MOST_HEADS, MOST_PLACES, PLACE_LIMIT
from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.worker.running import eventually, running


def answered(worker):
    """All messages; they are what a channel can carry and the master believes."""
    told = list(worker.loop.threads_at(7))
    assert [messages.decode_word(messages.encode(each)) for each in told] == told
    assert [each.last for each in told] == [False] * (len(told) - 1) + [True]
    assert {each.question for each in told} == {7}
    return told


def heads(told, kind):
    return [(head, each.stack) for each in told for head in each.threads if head.kind == kind]


def test_each_thread_with_what_it_has_in_hand():
    with running(app, threads=3) as worker, worker.connect() as client:
        client.get("/wait?x=1")
        assert inside.acquire(timeout=60)
        told = answered(worker)
        ((head, stack),) = heads(told, "request")
        assert (head.method, head.target, head.name[:7]) == ("GET", "/wait?x=1", "thread-")
        assert head.request
        assert head.seconds >= 0
        assert stack.startswith('  File "')
        assert "gate.wait" in stack
        assert "superwsgi/worker" not in stack
        assert len(heads(told, "idle")) == 3
        assert threading.main_thread().ident in [head.ident for head, _ in heads(told, "server")]
        gate.set()
        assert client.response()[0] == 200


def test_one_that_was_written_off():
    with running(app, threads=1, request=0.2) as worker:
        assert worker.fetch("/wait")[0] == 504
        ((head, stack),) = heads(answered(worker), "abandoned")
        assert head.seconds >= 0.2
        assert "gate.wait" in stack


def test_one_of_the_application_whatever_its_name():
    done = threading.Event()
    thread = threading.Thread(target=lambda: done.wait(), name="\udcff" + "x" * 1000)
    thread.start()
    try:
        with running(app) as worker:
            ((head, _),) = [
                (head, stack)
                for head, stack in heads(answered(worker), "application")
                if head.ident == thread.ident
            ]
            assert head.name.startswith("\\udcffxxx")
    finally:
        done.set()
        thread.join()


def recurses(depth, done):
    return done.wait() if depth == 0 else recurses(depth - 1, done)


def test_many_at_one_place_and_many_at_different_ones():
    done = threading.Event()
    threads = [threading.Thread(target=recurses, args=(3, done)) for _ in range(3 * MOST_HEADS)]
    threads += [threading.Thread(target=recurses, args=(900, done)) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        with running(app) as worker:
            eventually(lambda: all(thread.ident for thread in threads))
            told = eventually(
                lambda: t if len([*heads(t := answered(worker), "application")]) >= len(threads) else None
            )
            assert all(len(each.threads) <= MOST_HEADS and len(each.stack) <= PLACE_LIMIT for each in told)
            assert len({each.stack for each in told}) < 30 < MOST_PLACES
    finally:
        done.set()
        for thread in threads:
            thread.join()
