"""The socket that an application gets with `green`: its `send` is that of a socket which blocks."""

import pytest

pytest.importorskip("gevent", reason="gevent is not installed: pip install 'superwsgi[green]'")

import gevent
from gevent.socket import socketpair

from superwsgi.worker.green.whole import WholeSocket

LARGE = b"x" * 3_000_000


@pytest.fixture
def pair():
    ours, theirs = socketpair()
    whole = WholeSocket(theirs.family, theirs.type, theirs.proto, theirs.detach())
    with ours, whole:
        yield ours, whole


def read(sock, size):
    received = 0
    while received < size:
        received += len(sock.recv(65536))
    return received


@pytest.mark.parametrize("data", [b"x", LARGE, memoryview(LARGE).cast("I")], ids=["one", "large", "words"])
def test_all_of_it_is_sent(pair, data):
    ours, whole = pair
    size = memoryview(data).nbytes
    reader = gevent.spawn(read, ours, size)
    assert whole.send(data) == size
    assert reader.get(timeout=20) == size


def test_with_a_timeout_what_there_is_room_for(pair):
    _, whole = pair
    whole.settimeout(20)
    assert 0 < whole.send(LARGE) < len(LARGE)


def test_who_reads_no_more_is_noticed(pair):
    ours, whole = pair
    writer = gevent.spawn(whole.send, LARGE)
    gevent.sleep(0)
    ours.close()
    with pytest.raises((BrokenPipeError, ConnectionResetError)):
        writer.get(timeout=20)
