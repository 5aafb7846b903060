"""What a fork would break is found and named, and what it would not is left out."""

import _thread
import asyncio
import contextlib
import copy
import importlib
import json
import os
import socket
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest

from superwsgi.worker import hazards
from superwsgi.worker.hazards.places import _MAKERS, _resolve
from tests.e2e.daemon import wait_for
from tests.tools import needed_package, reads_frames
from tests.worker.hazards.imported import FOUND, HARMLESS


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """What is found after each of the imports, by its name."""
    folder = tmp_path_factory.mktemp("left")
    code = {name: code for name, (code, _) in FOUND.items()} | HARMLESS
    program = [sys.executable, "-m", "tests.worker.hazards.examined", str(folder)]
    with (folder / "printed").open("w") as printed:
        subprocess.run(program, input=json.dumps(code), stdout=printed, text=True, check=True, timeout=120)
    return {name: json.loads((folder / name).read_text()) for name in code}


@pytest.mark.parametrize("name", FOUND)
def test_what_is_found(left, name):
    for words in FOUND[name][1]:
        words = words.replace("(python)", f"({Path(sys.executable).name})")
        assert any(words in said for said in left[name]), left[name]


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_harmless(left, name):
    assert left[name] == []


@pytest.fixture
def found():
    """What `hazards.examine` finds besides what there was before the test."""
    before, nowhere = hazards.now(), hazards.Places()
    already = hazards.examine(before, nowhere)
    return lambda places=nowhere: [each for each in hazards.examine(before, places) if each not in already]


class Lazy:
    @property
    def __class__(self):
        raise RuntimeError("looked up")


def test_a_proxy_is_not_asked_what_it_stands_for(found):
    """As Django's settings, which may not be configured yet."""
    needed_package("greenlet")
    importlib.import_module("greenlet")
    proxies = [Lazy()]
    assert found() == []
    assert type(proxies[0]) is Lazy


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


@reads_frames
def test_a_thread_by_its_name_and_by_what_it_runs(found):
    with waiting(lambda run: threading.Thread(target=run, name="metrics").start()):
        (thread,) = found()
    assert thread.startswith("thread 'metrics' running ")
    assert thread.endswith(f"{HERE}:{LINE}")


@reads_frames
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


@reads_frames
def test_a_thread_that_threading_does_not_know(found):
    with waiting(lambda run: _thread.start_new_thread(run, ())):
        (thread,) = found()
    assert thread.startswith("a thread without a name running ")


class TestTheLineThatMadeIt:
    def test_of_a_thread(self, found):
        def start(run):
            threading.Thread(target=run, name="metrics").start()

        with hazards.recorded() as places, waiting(start):
            (thread,) = found(places)
        assert thread.startswith("thread 'metrics' started at ")
        assert thread.endswith(f"{HERE}:{start.__code__.co_firstlineno + 1}")

    def test_a_library_is_not_blamed(self, found):
        def start(run):
            timer = threading.Timer(0, run)
            exec(compile("timer.start()", threading.__file__, "exec"), {"timer": timer})

        with hazards.recorded() as places, waiting(start):
            (thread,) = found(places)
        assert f"{HERE}:{start.__code__.co_firstlineno + 2}" in thread

    def test_afterwards_all_is_as_before(self):
        before = makers()
        with hazards.recorded():
            during = makers()
        assert makers() == before
        assert all(during[path] is not before[path] for path in before)

    def test_who_has_kept_what_stood_there_can_go_on(self):
        with hazards.recorded() as places:
            kept = open
        with kept(__file__) as file:
            assert places.of([("descriptor", file.fileno())]) is None
            assert file.name == __file__

    def test_what_others_have_put_there_meanwhile_stays(self, monkeypatch):
        monkeypatch.setattr("os.pipe", os.pipe)
        with hazards.recorded():
            os.pipe = theirs = object()
        assert os.pipe is theirs

    def test_it_is_like_the_function_in_whose_place_it_stands(self):
        with hazards.recorded():

            class Storage:
                opener = open

            with Storage().opener(__file__) as file:
                assert file.name == __file__
            assert open.__name__ == "open"
            assert copy.deepcopy(open) is open


def makers():
    """Those that this Python has."""
    there = {path: getattr(*_resolve(path), None) for path in _MAKERS}
    return {path: maker for path, maker in there.items() if maker is not None}


def found_after(code):
    """What `hazards.examine` finds in a process of its own that has run `code`."""
    script = (
        f"from superwsgi.worker import hazards as h; b = h.now()\n{code}\nprint(h.examine(b, h.Places()))"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    return said.stdout.strip() or said.stderr


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
