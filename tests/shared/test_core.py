"""What is in C does what its twins in Python do. Heads: tests/http/request/test_plain.py."""

import os
import socket
import struct
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.board.counts import ANSWERS, BOUNDS_NS, BUCKETS, METHODS
from superwsgi.board.layout import ID_BYTES, METHOD_BYTES, PATH_BYTES
from superwsgi.board.thread_record import IN_REQUEST, ThreadWriter
from tests import core

IN_HAND = struct.Struct(f"=QQ{METHOD_BYTES}s{PATH_BYTES}s{ID_BYTES}s")
ROOMS = METHOD_BYTES, PATH_BYTES, ID_BYTES


@pytest.fixture(scope="module")
def c():
    module = core.in_c()
    if module is None:
        pytest.skip("nothing is compiled here")
    return module


class TestShowRequest:
    @given(st.integers(0, (1 << 64) - 1), st.text(max_size=20), st.binary(max_size=130), st.text(max_size=60))
    def test_it_writes_what_struct_writes(self, c, now, method, path, name):
        raw, expected = bytearray(b"\xee" * 300), bytearray(b"\xee" * 300)
        done = show(c, raw, 8, now, method, path, name)
        if not (method.isascii() and name.isascii()):
            assert done is None
            assert raw == expected
            return
        assert done is True
        IN_HAND.pack_into(expected, 8, IN_REQUEST, now, method.encode(), path, name.encode())
        assert raw == expected

    @pytest.mark.parametrize("at", [-1, 300 - IN_HAND.size + 1, 300, 301, 1 << 62])
    def test_it_stays_in_its_memory(self, c, at):
        raw = bytearray(300)
        with pytest.raises(ValueError, match="beyond"):
            show(c, raw, at, 1, "GET", b"/", "id")
        assert raw == bytes(300)

    def test_the_last_place(self, c):
        raw = bytearray(300)
        assert show(c, raw, 300 - IN_HAND.size, 1, "GET", b"/", "id")

    def test_other_arguments(self, c):
        for arguments in ((), (b"read only", *show_arguments(0, 1, "GET", b"/", "a"))):
            with pytest.raises((TypeError, BufferError)):
                c.show_request(*arguments)
        with pytest.raises(OverflowError):
            show(c, bytearray(300), 0, -1, "GET", b"/", "id")


def show_arguments(at, now, method, path, name):
    return at, IN_REQUEST, now, method, METHOD_BYTES, path, PATH_BYTES, name, ID_BYTES


def show(c, raw, at, now, method, path, name):
    return c.show_request(memoryview(raw), *show_arguments(at, now, method, path, name))


BOUNDS = struct.pack(f"={len(BOUNDS_NS)}Q", *BOUNDS_NS)
COUNTED = 3 + ANSWERS + 2 * BUCKETS


class TestCount:
    @given(
        st.integers(-1, 700),
        st.integers(0, len(METHODS) - 1),
        st.integers(0, 1 << 40),
        st.integers(-1, 1 << 40) | st.sampled_from(BOUNDS_NS),
        st.integers(0, 1 << 40) | st.sampled_from([each + 1 for each in BOUNDS_NS]),
    )
    def test_it_counts_as_in_python(self, c, status, method, sent, app, took):
        board = memoryview(bytearray(1 << 12))
        writer = ThreadWriter(board.cast("Q"), board, 0)
        counts = bytearray(COUNTED * 8)
        for _ in range(2):
            writer._count(status, method, sent, app, took)
            c.count(counts, BOUNDS, status, method, sent, app, took)
        assert counts == bytes(writer._counts)

    def test_it_stays_in_its_memory(self, c):
        for size, method in ((COUNTED, len(METHODS)), (COUNTED, -1), (10, 0), (0, 0)):
            with pytest.raises(ValueError, match="beyond"):
                c.count(bytearray(size * 8), BOUNDS, 200, method, 1, 1, 1)

    def test_other_arguments(self, c):
        for arguments in ((), (bytes(COUNTED * 8), BOUNDS, 200, 0, 1, 1, 1)):
            with pytest.raises(TypeError):
                c.count(*arguments)
        with pytest.raises(OverflowError):
            c.count(bytearray(COUNTED * 8), BOUNDS, 200, 0, 1 << 64, 1, 1)


@pytest.fixture
def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


class Wrapped:
    """What only has a descriptor."""

    def __init__(self, sock):
        self.fileno = sock.fileno


@pytest.mark.parametrize("kind", [lambda sock: sock, Wrapped])
class TestSockets:
    @pytest.mark.parametrize("size", [0, 1, 1000, 16 << 10, (16 << 10) + 1, 100_000])
    def test_bytes_arrive(self, c, pair, kind, size):
        ours, theirs = pair
        assert c.receive(kind(ours), 1 << 18) is None
        assert c.receive(kind(ours), 1 << 10) is None
        data = os.urandom(size)
        assert c.send(kind(theirs), data) == size
        received = b""
        while len(received) < size:
            received += c.receive(kind(ours), 7000 if len(received) % 2 else 1 << 18)
        assert received == data

    def test_the_end(self, c, pair, kind):
        ours, theirs = pair
        theirs.close()
        assert c.receive(kind(ours), 100) == c.receive(kind(ours), 1 << 18) == b""
        with pytest.raises(BrokenPipeError):
            c.send(kind(ours), b"a")

    def test_nobody_takes_any_more(self, c, pair, kind):
        ours, _ = pair
        while c.send(kind(ours), bytes(1 << 16)) is not None:
            pass
        assert c.send(kind(ours), b"a") is None

    def test_one_that_is_closed(self, c, pair, kind):
        ours, theirs = pair
        ours.close()
        with pytest.raises((OSError, ValueError)):
            c.receive(kind(ours), 100)
        with pytest.raises((OSError, ValueError)):
            c.send(kind(ours), b"a")
        assert c.receive(kind(theirs), 100) == b""

    def test_it_never_waits(self, c, pair, kind):
        ours, _ = pair
        ours.setblocking(True)
        assert c.receive(kind(ours), 100) is None


def test_no_sockets(c):
    for arguments in ((None, 1), ("a", 1), (1 << 70, 1), (1,)):
        with pytest.raises((TypeError, OverflowError)):
            c.receive(*arguments)
    with pytest.raises(TypeError):
        c.send(socket.socket, b"")
    with pytest.raises(TypeError):
        c.send(1, "text")


class TestMutex:
    def test_it_is_taken_once(self, c):
        mutex = c.Mutex()
        assert not mutex.locked()
        assert mutex.acquire()
        assert mutex.locked()
        assert mutex.acquire(False) is False
        mutex.release()
        assert mutex.acquire(False) is True
        mutex.release()
        with mutex:
            assert mutex.locked()
        assert not mutex.locked()

    def test_nobody_has_it(self, c):
        with pytest.raises(RuntimeError):
            c.Mutex().release()

    @pytest.mark.parametrize("arguments", [(1,), (None,), (True, 1)])
    def test_no_timeouts(self, c, arguments):
        with pytest.raises(TypeError):
            c.Mutex().acquire(*arguments)

    def test_one_that_is_held_may_go(self, c):
        for _ in range(1000):
            c.Mutex().acquire()

    def test_who_waits_gets_it_from_another_thread(self, c):
        mutex, taken = c.Mutex(), []
        mutex.acquire()
        thread = threading.Thread(target=lambda: taken.append(mutex.acquire()))
        thread.start()
        time.sleep(0.01)
        assert not taken
        mutex.release()
        thread.join(60)
        assert taken == [True]
        assert mutex.locked()

    def test_one_thread_at_a_time(self, c):
        mutex, inside, most = c.Mutex(), [], []

        def work():
            for _ in range(200):
                with mutex:
                    inside.append(None)
                    most.append(len(inside))
                    time.sleep(0)
                    inside.pop()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert max(most) == 1
        assert len(most) == 800

    def test_all_who_wait_get_it_one_after_another(self, c):
        mutex, taken = c.Mutex(), []

        def work(number):
            with mutex:
                taken.append(number)

        mutex.acquire()
        threads = [threading.Thread(target=work, args=[number]) for number in range(50)]
        for thread in threads:
            thread.start()
        mutex.release()
        for thread in threads:
            thread.join(60)
        assert sorted(taken) == [*range(50)]
        assert not mutex.locked()

    def test_who_waits_gets_it_though_another_takes_it_again_and_again(self, c):
        """And lets go of the GIL only while it has it."""
        mutex, taken = c.Mutex(), []

        def wait():
            with mutex:
                taken.append(None)

        mutex.acquire()
        thread = threading.Thread(target=wait)
        thread.start()
        end = time.monotonic() + 60
        while not taken and time.monotonic() < end:
            time.sleep(0.001)
            mutex.release()
            mutex.acquire()
        mutex.release()
        thread.join(60)
        assert taken
        assert not mutex.locked()

    def test_who_gives_up_at_once_takes_it_from_nobody(self, c):
        """While others wait, and are woken, more come and go."""
        mutex, inside, done = c.Mutex(), [], []

        def work(blocking):
            for _ in range(2000):
                if mutex.acquire(blocking):
                    inside.append(None)
                    assert len(inside) == 1
                    inside.pop()
                    mutex.release()
            done.append(blocking)

        threads = [threading.Thread(target=work, args=[number % 2 == 0]) for number in range(6)]
        before, _ = sys.getswitchinterval(), sys.setswitchinterval(1e-5)
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        finally:
            sys.setswitchinterval(before)
        assert len(done) == 6


def test_nothing_is_left_over(c):
    """What is done a million times must not take memory each time; here as often as shows it."""
    ours, theirs = socket.socketpair()
    counts = bytearray(COUNTED * 8)
    raw, known, hosts = bytearray(300), {"Host": "HTTP_HOST", "A": "HTTP_A"}, {"x"}
    heads = b"GET /%41?b HTTP/1.1\r\nHost: x\r\nA: \xe4\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nB: c\r\n\r\n"

    def work():
        for head in heads:
            c.read_plain(head, 0, {"a": 1}, known, hosts, 1000, 1000, 100)
        show(c, raw, 0, 1, "GET", b"/", "id")
        c.send(theirs, b"a" * 1000)
        c.receive(ours, 1 << 18)
        c.receive(ours, 1000)
        c.count(counts, BOUNDS, 200, 0, 1 << 40, 1 << 40, 1 << 40)
        with c.Mutex():
            pass

    with ours, theirs:
        assert grown(work, 1000) < grown(work, 20_000) + (1 << 20)
        assert grown(work, 20_000) < 1 << 20


def grown(work, times):
    before = resident()
    for _ in range(times):
        work()
    return resident() - before


def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
