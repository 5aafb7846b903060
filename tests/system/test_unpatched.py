"""Native threads and their condition, which work whatever has been patched."""

from __future__ import annotations

import contextlib
import re
import socket
from pathlib import Path

import pytest

from superwsgi import unpatched
from superwsgi.unpatched import NativeCondition, NativeThread

DEADLINE = 60.0


def test_a_thread_has_a_name_while_it_runs() -> None:
    seen = list[object]()
    thread = NativeThread(lambda: seen.append(unpatched.names[unpatched.get_ident()]), "one of ours")
    assert not thread.is_alive()
    thread.start()
    thread.join(DEADLINE)
    assert seen == ["one of ours"]
    assert not thread.is_alive()
    assert thread.ident not in unpatched.names


def test_a_thread_that_does_not_end_is_not_waited_for_longer() -> None:
    hold = unpatched.Lock()
    hold.acquire()
    thread = NativeThread(lambda: hold.acquire(timeout=DEADLINE), "held")
    thread.start()
    thread.join(0.01)
    assert thread.is_alive()
    hold.release()
    thread.join()
    assert not thread.is_alive()


def test_whoever_waits_is_told() -> None:
    changed, seen = NativeCondition(), list[str]()

    def work() -> None:
        with changed:
            assert changed.wait_for(lambda: "asked" in seen, DEADLINE)
            seen.append("answered")
            changed.notify_all()

    thread = NativeThread(work, "answers")
    thread.start()
    with changed:
        seen.append("asked")
        changed.notify_all()
        assert changed.wait_for(lambda: "answered" in seen, DEADLINE)
    thread.join()


def test_a_wait_ends_in_time_and_holds_the_lock_again() -> None:
    changed = NativeCondition()
    with changed, changed:  # taken twice by one thread
        assert not changed.wait_for(lambda: False, 0.01)
        changed.notify_all()
    thread = NativeThread(lambda: changed.__enter__(), "takes it")
    thread.start()
    thread.join(DEADLINE)
    assert not thread.is_alive()


def test_what_is_accepted_is_a_socket_as_its_listener() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket() as client:
        client.connect(listener.getsockname())
        sock, address = unpatched.accept(listener, listener.family)
        with contextlib.closing(sock):
            assert (sock.family, sock.type) == (listener.family, listener.type)
            assert address == client.getsockname()
        listener.setblocking(False)
        with pytest.raises(BlockingIOError):
            unpatched.accept(listener, listener.family)


@pytest.mark.parametrize("name", ["close", "fork", "waitpid"])
def test_whoever_runs_in_workers_takes_from_here_what_gevent_replaces(name: str) -> None:
    """gevent's os.close, say, waits for a turn of the hub, which a mold never takes."""
    package = Path(unpatched.__file__).parent
    rooms = "apps", "board", "files", "http", "log", "metrics", "system", "tls", "worker"
    sources = [package / "channel.py", *(each for room in rooms for each in (package / room).rglob("*.py"))]
    assert len(sources) > 100
    called = re.compile(rf"\bos\.{name}\(")
    assert [str(each) for each in sources if called.search(each.read_text())] == []
