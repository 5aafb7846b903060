"""What a fork would break is found and named, and what it would not is left out."""

import _thread
import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from functools import partial

import pytest

from superwsgi.worker import hazards
from superwsgi.worker.starts import thread_starts
from tests.e2e.daemon import wait_for


@pytest.fixture
def found():
    """What `hazards.examine` finds besides what there was before the test."""
    harmless = hazards.sockets()
    before = hazards.examine(harmless, {})
    return lambda starts=None: [
        each for each in hazards.examine(harmless, starts or {}) if each not in before
    ]


def test_nothing(found):
    assert found() == []


@contextlib.contextmanager
def waiting(start):
    """`start` is given a function to run in a thread; the thread has ended when the block has."""
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()
    start(partial(wait_to_go, begun, go, ended))
    try:
        assert begun.wait(20)
        yield
    finally:
        go.set()
        assert ended.wait(20)


def wait_to_go(begun, go, ended):
    begun.set()
    go.wait()
    ended.set()


LINE = wait_to_go.__code__.co_firstlineno
HERE = "test_hazards.py"


def test_a_thread_by_its_name_and_by_what_it_runs(found):
    with waiting(lambda run: threading.Thread(target=run, name="metrics").start()):
        (thread,) = found()
    assert thread.startswith("thread 'metrics' running ")
    assert thread.endswith(f"{HERE}:{LINE}")


def test_a_thread_of_a_class_of_its_own(found):
    class Pump(threading.Thread):
        def run(self):
            self.wait_to_go()

    def start(wait_to_go):
        pump = Pump(name="pump")
        pump.wait_to_go = wait_to_go
        pump.start()

    with waiting(start):
        assert found()[0].endswith(f"{HERE}:{Pump.run.__code__.co_firstlineno}")


def test_a_thread_that_threading_does_not_know(found):
    with waiting(lambda run: _thread.start_new_thread(run, ())):
        (thread,) = found()
    assert thread.startswith("a thread without a name running ")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the interpreter does not tell")
class TestWhereThreadsAreStarted:
    def test_the_line_that_starts_it(self, found):
        def start(run):
            threading.Thread(target=run, name="metrics").start()

        with thread_starts() as starts, waiting(start):
            (thread,) = found(starts)
        assert thread.startswith("thread 'metrics' started at ")
        assert thread.endswith(f"{HERE}:{start.__code__.co_firstlineno + 1}")

    def test_a_library_that_starts_it_is_not_blamed(self, found):
        def start(run):
            timer = threading.Timer(0, run)
            exec(compile("timer.start()", threading.__file__, "exec"), {"timer": timer})

        with thread_starts() as starts, waiting(start):
            (thread,) = found(starts)
        assert f"{HERE}:{start.__code__.co_firstlineno + 2}" in thread

    def test_nothing_is_left_behind(self):
        with thread_starts():
            pass
        assert not any(map(sys.monitoring.get_tool, (3, 4)))

    def test_another_tool_may_have_the_place(self):
        for tool in (3, 4):
            sys.monitoring.use_tool_id(tool, "another")
        try:
            with thread_starts() as starts:
                assert starts == {}
        finally:
            for tool in (3, 4):
                sys.monitoring.free_tool_id(tool)


def found_after(code):
    """What `hazards.examine` finds in a process of its own that has run `code`."""
    script = f"{code}\nfrom superwsgi.worker import hazards\nprint(hazards.examine(frozenset(), {{}}))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=20)
    return said.stdout.strip() or said.stderr


def test_threads_of_native_libraries():
    """faulthandler's is written in C, and Python does not know it."""
    said = found_after("import faulthandler; faulthandler.dump_traceback_later(60)")
    assert said == "['a thread of a native library']"


def test_native_threads_that_end_before_a_fork_are_none():
    pytest.importorskip("numpy")
    assert found_after("import numpy") == "[]"


def test_a_connection_by_its_peer(found):
    with socket.create_server(("127.0.0.1", 0)) as server:
        host, port = server.getsockname()
        with socket.create_connection((host, port)):
            assert set(found()) == {
                f"a listening socket on {host}:{port}",
                f"a connection to {host}:{port}",
            }
    assert found() == []


def test_connections_over_ipv6_and_unix_sockets(found, tmp_path):
    path = str(tmp_path / "db.sock")
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
        assert found() == [f"a listening socket on [::1]:{six.getsockname()[1]}"]
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen()
        client.connect(path)
        assert f"a connection to {path}" in found()
        client.close()
        server.close()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("\0superwsgi-test-hazards")
        server.listen()
        assert found() == ["a listening socket on @superwsgi-test-hazards"]


def test_sockets_that_can_be_shared(found, tmp_path):
    with (
        socket.socket(type=socket.SOCK_DGRAM) as statsd,
        socket.socket(),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as syslog,
    ):
        statsd.connect(("127.0.0.1", 8125))
        log.bind(str(tmp_path / "log"))
        syslog.connect(str(tmp_path / "log"))
        assert found() == []


def test_what_was_there_before_is_no_hazard():
    with socket.create_server(("127.0.0.1", 0)) as server:
        said = hazards.examine(hazards.sockets(), {})
        assert not any(str(server.getsockname()[1]) in each for each in said)


def test_an_event_loop_with_all_that_it_has(found):
    loop = asyncio.new_event_loop()
    try:
        assert found() == ["an open event loop of asyncio"]
        with waiting(lambda run: threading.Thread(target=run_loop, args=(loop, run)).start()):
            wait_for(loop.is_running)
            said = found()
        assert "a running event loop of asyncio" in said
    finally:
        wait_for(lambda: not loop.is_running())
        loop.close()
    assert found() == []


def run_loop(loop, wait_to_go):
    loop.run_until_complete(loop.run_in_executor(None, wait_to_go))
    loop.run_until_complete(loop.shutdown_default_executor())


def test_an_epoll_instance_of_something_else():
    assert found_after("import select; e = select.epoll()") == "['an event loop (epoll)']"


def threads(count, name):
    start = f"Thread(target=Event().wait, name={name}, daemon=True).start()"
    return f"from threading import *\nfor n in range({count}): {start}"


def test_many_are_counted():
    said = eval(found_after(threads(9, "f't{n}'")))
    assert len(said) == 6
    assert said[5] == "4 more"


def test_equal_ones_are_named_once():
    (said,) = eval(found_after(threads(3, "'t' * 999")))
    assert said.endswith(" (3 of them)")
    assert len(said) < 300
