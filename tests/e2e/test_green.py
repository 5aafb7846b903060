"""`green`: greenlets run the application, in one thread. With the real daemon, and the real gevent."""

import json
import signal
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.daemon import read_all, wait_for

pytest.importorskip("gevent", reason="gevent is not installed: pip install 'superwsgi[green]'")

PAGES = """
    import os, sys, threading, time

    def app(environ, start_response):
        page = PAGES[environ["PATH_INFO"]]
        start_response("200 OK", [("Content-Type", "text/plain")])
        return page(environ)

    def hello(environ):
        return [b"hello"]

    def sleeper(environ):
        time.sleep(0.2)
        return [b"slept"]

    def stuck(environ):
        try:
            time.sleep(60)
        finally:
            print("finally ran")

    def swallower(environ):
        while True:
            try:
                time.sleep(60)
            except BaseException as error:
                print("swallowed", type(error).__name__)

    def pid(environ):
        return [str(os.getpid()).encode()]

    def late(environ):
        while not os.path.exists("go"):
            time.sleep(0.02)
        print("after the wait in", "parent" if os.getppid() == MASTER else "child")
        return [b"late"]

    def forking(environ):
        child = os.fork()
        if child == 0:
            time.sleep(1)  # in its copy of the hub
            os._exit(7)
        return [str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode()]

    def returning(environ):
        return [b"child"] if os.fork() == 0 else [b"parent"]

    class Cleaned:
        def __init__(self):
            self.cycle = self

        def __del__(self):
            time.sleep(0.001)

    def garbage(environ):
        for _ in range(50):
            Cleaned()
        return [b"garbage"]

    def quitting(environ):
        threading.Thread(target=sys.exit, args=(3,)).start()
        time.sleep(0.01)
        return [b"goes on"]

    def echo(environ):
        time.sleep(0.01)
        return [environ["wsgi.input"].read()]

    def stream(environ):
        for _ in range(30):
            yield b"x" * 1_000_000

    MASTER = os.getppid()
    PAGES = {
        "/": hello, "/sleep": sleeper, "/stuck": stuck, "/swallow": swallower, "/pid": pid, "/late": late,
        "/fork": forking, "/return": returning, "/garbage": garbage, "/quit": quitting, "/echo": echo,
        "/stream": stream,
    }
"""


@pytest.fixture
def green(daemon):
    daemon.write("app.py", PAGES)
    daemon.site(green=200, workers=1)
    return daemon.start()


@pytest.fixture
def impatient(daemon):
    daemon.write("app.py", PAGES)
    daemon.site(green=200, workers=1, timeouts={"request": "1s"})
    return daemon.start()


def at_once(count, work):
    """What so many calls of `work` at once return."""
    results = []
    threads = [threading.Thread(target=lambda: results.append(work())) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def busy(green):
    """How many requests its worker has in hand."""
    status = json.loads(green.command("status", "--json").stdout)
    return sum(worker["in_flight"] for worker in status["workers"])


def test_many_wait_at_once(green):
    began = time.monotonic()
    assert [answer.text for answer in at_once(60, lambda: green.get("/sleep"))] == ["slept"] * 60
    assert time.monotonic() - began < 60 * 0.2
    assert "greenlets: 0 of " in green.command("status").stdout
    assert green.stop() == 0


def test_a_request_that_takes_too_long_is_ended_where_it_waits(impatient):
    pid = impatient.get("/pid").text
    assert impatient.get("/stuck").status == 504
    stuck = impatient.wait_log("request stuck.*\n(.*\n)+?.*time.sleep")
    assert "target=/stuck" in stuck.group()
    assert 'next="ended where it waits"' in stuck.group()
    impatient.wait_log("finally ran")
    assert impatient.get("/pid").text == pid, impatient.log
    assert "request failed" not in impatient.log
    assert "recycled" not in impatient.log


@pytest.mark.drill
def test_who_swallows_that_has_its_worker_recycled(impatient):
    pid = impatient.get("/pid").text
    assert impatient.get("/swallow").status == 504
    impatient.wait_log("swallowed RequestEnded")
    impatient.wait_log("to be recycled reason=.a stuck thread does not come back: GET /swallow")
    wait_for(lambda: impatient.get("/pid").text != pid, "another worker")


@pytest.mark.drill
def test_flask(daemon):
    daemon.write(
        "app.py",
        """
        import time
        from flask import Flask, request

        app = Flask(__name__)

        @app.get("/<name>")
        def page(name):
            time.sleep(0.05)
            return f"{name} {request.path}"
        """,
    )
    daemon.site(green=50)
    daemon.start()
    names = [f"n{each}" for each in range(30)]
    answers = at_once(30, lambda: daemon.get(f"/{names.pop()}").text)
    assert sorted(answers) == sorted(f"n{each} /n{each}" for each in range(30))


@pytest.mark.drill
def test_a_reload_changes_the_model_and_back(green):
    assert green.get().text == "hello"
    for keys in ({"threads": 4}, {"green": 50}):
        green.site(**keys)
        green.reload()
        assert green.get("/sleep").text == "slept"


def test_threads_and_green_are_one_too_many(daemon):
    daemon.write("app.py", PAGES)
    daemon.site(green=50, threads=4)
    said = daemon.command("check", "-c", "site.yaml")
    assert said.returncode == 2
    assert "green: cannot be used with threads: keep one of them" in said.stderr


WITHOUT_IT = "import sys\nsys.modules['gevent'] = None\n"


def test_without_gevent(daemon):
    daemon.write("app.py", PAGES)
    daemon.write("without/sitecustomize.py", WITHOUT_IT)
    daemon.site(green=50)
    env = {"PYTHONPATH": str(daemon.folder / "without")}
    daemon.start(ready=False, env=env)
    assert daemon.wait_exit() != 0
    assert (
        "green needs gevent, which is not installed: python -m pip install 'superwsgi[green]'" in daemon.log
    )
    assert "Traceback" not in daemon.log


@pytest.mark.drill
def test_with_a_gevent_that_does_not_load(daemon):
    daemon.write("app.py", PAGES)
    daemon.write("broken/gevent/__init__.py", "raise ImportError('built for another Python')\n")
    daemon.site(green=50)
    daemon.start(ready=False, env={"PYTHONPATH": str(daemon.folder / "broken")})
    assert daemon.wait_exit() == 3
    assert "green: gevent does not load: ImportError: built for another Python" in daemon.log
    assert "Traceback" not in daemon.log


@pytest.mark.drill
def test_a_child_that_the_application_forks_goes_on_with_nothing_else(green):
    with ThreadPoolExecutor(20) as pool:
        others = [pool.submit(green.get, "/late") for _ in range(5)]
        wait_for(lambda: busy(green) == 5, "requests in hand")
        forked = pool.submit(green.get, "/fork")
        wait_for(lambda: len(green.children()) > 2, "a child")
        green.write("go", "")
        assert forked.result().text == "7"
        assert [other.result().text for other in others] == ["late"] * 5
    assert green.log.count("after the wait in parent") == 5
    assert "after the wait in child" not in green.log
    assert green.get("/return").text == "parent"
    green.wait_log("forked child came back")


@pytest.mark.drill
def test_finalizers_may_wait(green):
    assert {answer.text for answer in at_once(40, lambda: green.get("/garbage"))} == {"garbage"}
    assert green.get("/quit").text == "goes on"
    assert "BlockingSwitchOutError" not in green.log


@pytest.mark.drill
def test_bodies_of_any_size(green):
    body = b"b" * 3_000_000
    assert green.get("/echo", "POST", body=body).body == body
    with green.connect() as slow:
        slow.sendall(b"GET /stream HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert [answer.text for answer in at_once(5, lambda: green.get("/sleep"))] == ["slept"] * 5
        assert len(read_all(slow)) > 30_000_000


@pytest.mark.drill
def test_a_drain_waits_for_what_is_in_hand(green):
    with ThreadPoolExecutor(20) as pool:
        asked = [pool.submit(green.get, "/late") for _ in range(20)]
        wait_for(lambda: busy(green) == 20, "requests in hand")
        green.send(signal.SIGTERM)
        green.wait_log("stopping")
        green.write("go", "")
        assert green.wait_exit() == 0
        assert {each.result().text for each in asked} == {"late"}


@pytest.mark.drill
def test_greenlets_that_the_import_leaves_are_a_hazard(daemon):
    waits = "import time\ntime.sleep(0.01)\n"
    daemon.write("app.py", waits + textwrap.dedent(PAGES))
    daemon.site(green=50)
    daemon.start()
    assert "not preloaded" not in daemon.log  # what has waited is over
    goes_on = """
    def count():
        while True:
            time.sleep(0.1)
            print("counted")

    threading.Thread(target=count, daemon=True).start()
    """
    daemon.write("app.py", textwrap.dedent(PAGES) + textwrap.dedent(goes_on))
    said = daemon.reload("not preloaded.*").group()
    assert "a greenlet running app.py:" in said
    daemon.wait_log("reload complete")
    daemon.wait_log("counted\n(.*\n)*counted")
    assert daemon.get().text == "hello"


MADE = """
    import os, queue, socket, subprocess, time
    from concurrent.futures import ThreadPoolExecutor

    QUEUE, ALONE = queue.SimpleQueue(), ThreadPoolExecutor(1)
    MADE_IN = os.getpid()
    time.sleep(0.01)
    subprocess.run(["true"])
    socket.getaddrinfo("localhost", 80)

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        QUEUE.put(ALONE.submit(lambda: time.sleep(0.05) or MADE_IN).result())
        socket.getaddrinfo("localhost", 80)
        made_in = QUEUE.get()
        assert subprocess.run(["sh", "-c", "exit 3"]).returncode == 3
        return [f"{made_in} {os.getpid()}".encode()]

    def sleep(worker):
        time.sleep(0.01)
"""


@pytest.mark.drill
def test_what_the_import_makes_goes_on_in_workers(daemon):
    """A queue goes on by the hub with which it was made (asgiref has one for each import of Django): each
    worker has its copy of both, also where a hook waits in the mold, and they do not wake each other."""
    daemon.write("app.py", MADE)
    daemon.site(green=50, workers=2, hooks={"before_fork": "app:sleep"})
    daemon.start()
    assert "not preloaded" not in daemon.log
    mold = str(daemon.mold())
    answers = [answer.text.split() for answer in at_once(30, daemon.get)]
    assert {made_in for made_in, _ in answers} == {mold}
    assert {int(answered_by) for _, answered_by in answers} <= set(daemon.workers())
    for worker in daemon.workers():
        daemon.send(signal.SIGKILL, worker)
        wait_for(lambda gone=worker: gone not in daemon.workers(), "its end")
        daemon.wait_workers(2)
        assert [answer.text.split()[0] for answer in at_once(20, daemon.get)] == [mold] * 20
    assert daemon.stop() == 0
    assert "Traceback" not in daemon.log


TAKING = """
    SWITCHING = b"HTTP/1.1 101 Switching Protocols\\r\\nConnection: Upgrade\\r\\nUpgrade: x\\r\\n\\r\\n"

    def app(environ, start_response):
        if environ["PATH_INFO"] == "/":
            start_response("200 OK", [])
            return [b"page"]
        taken = environ["gunicorn.socket"]
        taken.sendall(SWITCHING)
        if environ["PATH_INFO"] == "/much":
            taken.sendall(bytes(20_000_000))
        while data := taken.recv(1000):
            taken.sendall(data)
        return []
"""


def test_who_has_taken_a_connection_over_stalls_nobody(daemon):
    daemon.write("app.py", TAKING)
    daemon.site(green=200, workers=1)
    daemon.start()

    def upgraded(path):
        sock = daemon.connect()
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n".encode())
        return sock

    with upgraded("/echo") as silent, upgraded("/much") as greedy:
        assert silent.recv(1000).startswith(b"HTTP/1.1 101 ")
        assert greedy.recv(1).startswith(b"H")
        assert daemon.get().text == "page"
        silent.sendall(b"hello")
        assert silent.recv(1000) == b"hello"
        assert daemon.get().text == "page"
    wait_for(lambda: "stalls" in daemon.log or upgraded_in(daemon) == 0, "the end of both")
    assert "stalls" not in daemon.log
    assert daemon.stop() == 0


def upgraded_in(daemon):
    return json.loads(daemon.command("status", "--json").stdout)["workers"][0]["upgraded"]
