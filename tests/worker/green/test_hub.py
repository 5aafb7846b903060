"""A hub of gevent's that the import of an application has left: what a fork makes of it. In processes of
their own, which gevent patches."""

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("gevent", reason="gevent is not installed: pip install 'superwsgi[green]'")

IMPORT = """
    from superwsgi import unpatched
    from superwsgi.apps import patching
    from superwsgi.worker import hazards
    from superwsgi.worker.hazards import threads

    patching.patch()
    before = hazards.now()

    import os, queue, socket, time
    import gevent

    QUEUE = queue.SimpleQueue()
"""
EXAMINE = "print(*hazards.examine(before, hazards.Places()), sep=chr(10))"


def said(*parts):
    """What a script prints."""
    script = "".join(map(textwrap.dedent, [IMPORT, *parts]))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert not done.stderr, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize(
    "used",
    [
        "time.sleep(0.01)",
        "socket.getaddrinfo('localhost', 80)",  # in the hub's pool of native threads
        "gevent.get_hub().threadpool.apply(os.getpid)",
        "closed = socket.socket(); closed.close()",
        "gevent.get_hub()",
        "gevent.spawn(time.sleep, 0.01).join()",
    ],
)
def test_one_that_waits_for_nothing_is_no_hazard(used):
    assert said(used + "\n", EXAMINE) == ""


@pytest.mark.parametrize(
    ("left", "hazard"),
    [
        ("gevent.spawn_later(60, print)", "a greenlet"),
        ("gevent.spawn(time.sleep, 60); time.sleep(0.01)", "a greenlet"),
        ("timer = gevent.get_hub().loop.timer(60); timer.start(print)", "the hub of gevent"),
        ("one, other = socket.socketpair()", "one end of a socket pair"),
        ("wakes = os.eventfd(0)", "a descriptor (eventfd)"),
    ],
)
def test_what_goes_on_is_one(left, hazard):
    assert hazard in said(left + "\n", EXAMINE)


def test_each_child_goes_on_with_its_own():
    """By an epoll of its own: what one waits for wakes no other."""
    children = """
    time.sleep(0.01)
    assert hazards.examine(before, hazards.Places()) == []
    hub, ours, theirs = gevent.get_hub(), [], []
    for _ in range(3):
        here, there = unpatched.socketpair()
        child = unpatched.fork()
        if child == 0:
            patching.renew_hub()
            assert gevent.get_hub() is hub
            gevent.spawn(lambda: QUEUE.put(socket.socket(fileno=there.detach()).recv(1)))
            assert QUEUE.get(timeout=30) == b"x"
            assert hub.threadpool.apply(os.getpid) == os.getpid()
            socket.getaddrinfo("localhost", 80)
            os._exit(7)
        ours.append((child, here))
        there.close()
    assert threads.of_hub() and len(open(f"/proc/self/fdinfo/{hub.loop.fileno()}").read().split("tfd:")) == 2
    for child, here in ours:
        here.send(b"x")
        print(os.waitstatus_to_exitcode(unpatched.waitpid(child, 0)[1]))
    QUEUE.put("parent")
    print(QUEUE.get())
    """
    assert said(children) == "7\n7\n7\nparent"
