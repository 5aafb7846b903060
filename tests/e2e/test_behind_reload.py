"""What clients of nginx and HAProxy notice when the site behind is reloaded or loses a worker: nothing."""

import contextlib
import itertools
import socketserver
import threading

import pytest

from tests.e2e.daemon import Daemon, wait_for
from tests.e2e.load import Load
from tests.e2e.wire import Wire, request

pytestmark = pytest.mark.drill

SEVERAL = 6
FRONTS = pytest.mark.parametrize("front", ["nginx", "haproxy"])


class Once(socketserver.StreamRequestHandler):
    """Answers one request of a connection, and breaks off at the next.

    The first `SEVERAL` are answered when all are there, so that each has a connection of its own.
    """

    def handle(self):
        self._request()
        self.server.all_there.wait(20)
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        self._request()

    def _request(self):
        for line in self.rfile:
            if line == b"\r\n":
                return


class Server(socketserver.ThreadingUnixStreamServer):
    request_queue_size = 128  # with a full queue nginx would go to its second server at once

    def __init__(self, path):
        super().__init__(path, Once)
        self.connections = itertools.count(1)
        self.all_there = threading.Event()

    def process_request(self, request, client_address):
        if next(self.connections) == SEVERAL:
            self.all_there.set()
        super().process_request(request, client_address)


@contextlib.contextmanager
def serving_once(path):
    with Server(str(path)) as server:
        path.chmod(0o666)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def answer(behind):
    with Wire(behind.front.connect()) as wire:
        return wire.ask().body


def report(loads):
    for load in loads:
        print(f"{len(load.answers)} answers, p99 {load.p99() * 1e3:.1f} ms")


@FRONTS
def test_five_reloads_under_load(behind, front):
    getattr(behind, front)()
    address = behind.front.address()
    loads = [
        Load(address, clients=4, pause=0.005),
        Load(address, clients=4, pause=0.005, method="POST", body=b"x" * 1000),
        Load(address, clients=2, pause=0.01, keep_alive=False),
    ]
    with contextlib.ExitStack() as stack:
        for load in loads:
            stack.enter_context(load)
        for number in range(1, 6):
            behind.version(number)
            behind.reload()
    assert [load.broken for load in loads] == [[], [], []]
    assert max(load.p99() for load in loads) < 0.5
    report(loads)
    wait_for(
        lambda: answer(behind).startswith(b"5 "), "the newest code"
    )  # kept connections may lead to the old


@FRONTS
def test_requests_in_hand_when_a_reload_begins(behind, front):
    getattr(behind, front)()
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(behind.front.connect())) for _ in range(6)]
        for wire in wires:
            wire.send(request("/sleep/2"))
        old = set(map(str, behind.daemon.workers()))
        behind.reload()
        assert {wire.answer().body.decode() for wire in wires} <= old


def test_nginx_gives_up_idle_connections_before_a_worker_that_drains_does(behind):
    """So none can meet a request just when it is closed, not even one that may not be sent twice."""
    behind.nginx({"linger: 2s": "linger: 25s"})
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(behind.front.connect())) for _ in range(20)]
        for wire in wires:
            wire.send(request("/sleep/0.3"))
        for wire in wires:
            assert wire.answer().status == 200
        behind.reload()
        for worker in (1, 2):
            behind.daemon.wait_log(f"worker={worker} gen=1 .*ended .*exit code 0", deadline=15)


@FRONTS
def test_a_killed_worker(behind, front):
    """Whose requests may be sent twice are. HAProxy's retry-on does not know resets that come for one."""
    getattr(behind, front)()
    with Load(behind.front.address(), clients=8, pause=0.005) as load:
        for _ in range(3):
            mark = len(load.answers)
            wait_for(lambda: len(load.answers) > mark + 200, "answers")  # noqa: B023
            behind.kill_a_worker()
    assert len(load.broken) <= {"nginx": 0, "haproxy": 3}[front], load.broken
    report([load])


def test_a_request_tried_again_takes_no_kept_connection(behind):
    """It could be another one to the worker that was killed, and break as well."""
    with serving_once(behind.folder / "run" / "shop.sock"), contextlib.ExitStack() as stack:
        behind.nginx_alone()
        wires = [stack.enter_context(Wire(behind.front.connect())) for _ in range(SEVERAL)]
        for wire in wires:
            wire.send(request())
        assert [wire.answer().body for wire in wires] == [b"ok"] * SEVERAL
        assert wires[0].ask().body == b"ok"


@pytest.fixture
def other(tmp_path):
    """Another machine's daemon."""
    (tmp_path / "other").mkdir()
    daemon = Daemon(tmp_path / "other")
    yield daemon
    daemon.clean_up()


def test_a_rolling_restart_of_two_machines(behind, other):
    """With a lame-duck time, in which they serve and say that they are about to leave."""
    front = behind.haproxy_for_two(other).front
    loads = [
        Load(front.address(), clients=4, pause=0.005),
        Load(front.address(), clients=4, pause=0.005, method="POST", body=b"x" * 1000),
        Load(front.address(), clients=2, pause=0.01, keep_alive=False),
    ]
    with contextlib.ExitStack() as stack:
        for load in loads:
            stack.enter_context(load)
        for name, daemon in (("shop", behind.daemon), ("shop2", other)):
            pids = set(map(str, daemon.workers()))
            assert loads[0].bodies_from_now(50) & {f"0 {pid}".encode() for pid in pids}, "it serves"
            assert daemon.stop() == 0
            behind.start(daemon)
            front.wait_log(f"Server shop/{name} is UP")
        loads[0].bodies_from_now(50)
    assert [load.broken for load in loads] == [[], [], []]
    report(loads)
