"""What clients notice while workers come and go, get stuck, or face slow clients: hardly anything."""

import contextlib
import re
import select
import signal
import socket
import threading
import time
from collections import Counter, defaultdict

import psutil
import pytest

from tests.e2e.daemon import FIXTURE_APPS, IN_ALL_MODELS, wait_for
from tests.e2e.load import Load
from tests.e2e.wire import Wire, request

pytestmark = pytest.mark.drill

SOON = 2.0
"""Seconds that a quick request may take on a loaded machine."""


@pytest.fixture
def site(daemon):
    """Starts the site of these tests; `version` writes its code."""

    def version(number, before=""):
        daemon.write("app.py", f"import time\n{before}\nimport e2e_work\napp = e2e_work.make({number!r})\n")

    def start(**keys):
        version(0)
        daemon.site(**{"log": {"access": "off"}, **keys})
        daemon.start(env={"PYTHONPATH": str(FIXTURE_APPS)})
        return daemon

    daemon.version = version
    daemon.begin = start
    return daemon


def version_and_pid(body):
    version, pid = body.split()
    return int(version), int(pid)


def quick(site, count, path="/"):
    """The slowest of so many requests on connections of their own."""
    slowest = 0.0
    for _ in range(count):
        began = time.monotonic()
        assert site.get(path).status == 200
        slowest = max(slowest, time.monotonic() - began)
    return slowest


class TestReload:
    @IN_ALL_MODELS
    def test_three_times_under_load(self, site):
        site.begin(workers=2)
        kept = Load(site.address, clients=4, pause=0.01)
        new = Load(site.address, clients=4, pause=0.01, keep_alive=False)
        with kept, new:
            for number in range(1, 4):
                site.version(number)
                site.reload()
                for body in kept.bodies_from_now() | new.bodies_from_now():
                    assert version_and_pid(body)[0] == number
        for load in (kept, new):
            assert load.broken == []
            assert load.p99() < 0.5
            print(f"{len(load.answers)} answers, p99 {load.p99() * 1e3:.1f} ms")

    @pytest.mark.parametrize("preload", [False, True])
    def test_an_application_that_is_slow_to_import_delays_nobody(self, site, preload):
        site.begin(workers=1, preload=preload)
        with (
            Load(site.address, clients=4, pause=0.005) as kept,
            Load(site.address, clients=2, pause=0.02, keep_alive=False) as new,
        ):
            site.version(
                1, before="time.sleep(1)\nend = time.monotonic() + 1\nwhile time.monotonic() < end: pass"
            )
            site.reload()
        assert kept.broken == new.broken == []
        assert max(answer.seconds for answer in kept.answers + new.answers) < SOON

    def test_addresses_come_and_go(self, site):
        site.begin(workers=2, bind=["127.0.0.1:0", "127.0.0.2:0", "unix:old.sock"])
        old = re.search(r"address=http://(127\.0\.0\.2):(\d+)", site.log)
        old = old[1], int(old[2])
        socket.create_connection(old, 5).close()
        with (
            Load(site.address, clients=4, pause=0.01) as kept,
            Load(site.address, clients=4, pause=0.01, keep_alive=False) as new,
        ):
            site.version(1)
            site.site(workers=2, bind=["127.0.0.1:0", "127.0.0.3:0", "unix:new.sock"], log={"access": "off"})
            site.reload()
        assert kept.broken == new.broken == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(old, 5)
        assert not (site.folder / "old.sock").exists()
        host, port = re.search(r"address=http://(127\.0\.0\.3):(\d+)", site.log).groups()
        with Wire(socket.create_connection((host, int(port)), 5)) as wire:
            assert version_and_pid(wire.ask().body)[0] == 1
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(str(site.folder / "new.sock"))
            assert version_and_pid(Wire(sock).ask().body)[0] == 1

    def test_under_a_lame_duck_period(self, site):
        site.begin(workers=2, timeouts={"lame_duck": "500ms"})
        with (
            Load(site.address, clients=4, pause=0.01) as kept,
            Load(site.address, clients=4, pause=0.01, keep_alive=False) as new,
        ):
            site.version(1)
            before = site.workers()
            site.reload()
            wait_for(lambda: not set(site.workers()) & set(before), "end of the old workers")
        assert kept.broken == new.broken == []
        assert version_and_pid(site.get().body)[0] == 1


class TestStop:
    def test_a_lame_duck_serves_new_clients(self, site):
        site.begin(workers=2, timeouts={"lame_duck": "1s"})
        with Wire(site.connect()) as wire:
            wire.ask()
            site.send(signal.SIGTERM)
            site.wait_log("stopping")
            assert site.get().status == 200
            assert "connection" not in wire.ask().fields
        assert site.wait_exit() == 0

    def test_a_lost_master(self, site):
        """What is in hand is answered, then all is over; nobody starts anything more."""
        site.begin(workers=2, timeouts={"graceful": "5s", "linger": "300ms"})
        workers = site.workers()
        with (
            Wire(site.connect()) as idle,
            Wire(site.connect()) as busy,
            Load(site.address, clients=4, pause=0.01) as load,
        ):
            idle.ask()
            busy.send(request("/sleep/0.7"))
            wait_for(lambda: len(load.answers) > 20, "answers")
            site.send(signal.SIGKILL)
            site.wait_exit()
            assert busy.answer().status == 200
            wait_for(lambda: not any(map(psutil.pid_exists, workers)), "end of the workers", deadline=8)
            assert idle.ended()
        # Who is in the accept queue when the last worker closes the listener is reset by the kernel.
        not_accepted = re.compile("Connection(Refused|Reset)Error")
        assert [b for b in load.broken if not not_accepted.search(b)] == []
        assert not any(load.lost), "a connection that was accepted"


class TestCrash:
    def test_only_the_killed_workers_clients_notice(self, site):
        site.begin(workers=4, threads=2)
        killed = set()
        with Load(site.address, clients=12, pause=0.002) as load:
            for _ in range(5):
                before = site.wait_workers(4)
                mark = len(load.answers)
                wait_for(lambda: len(load.answers) > mark + 100, "answers")  # noqa: B023
                _, victim = version_and_pid(load.answers[-1].body)  # one that has clients
                site.send(signal.SIGKILL, victim)
                killed.add(victim)
                wait_for(lambda: set(site.workers()) - set(before), "replacement")  # noqa: B023
        assert load.lost, "somebody did notice"
        assert {version_and_pid(last)[1] for last in load.lost if last} <= killed
        assert len(load.broken) <= 5 * 12
        assert max(answer.seconds for answer in load.answers) < SOON


@pytest.fixture(scope="module")
def four_workers(shared_daemon):
    shared_daemon.site(
        workers=4, threads=2, app="e2e_work:app", chdir=str(FIXTURE_APPS), log={"access": "off"}
    )
    shared_daemon.start()
    return shared_daemon


@pytest.mark.alone  # a worker that another test keeps from running can't take its share
class TestBalance:
    def check(self, counted):
        assert sum(counted.values()) == 200
        assert len(counted) == 4
        assert max(counted.values()) / min(counted.values()) <= 1.25, counted
        print(sorted(counted.values()))

    def test_of_connections_that_come_one_by_one(self, four_workers):
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(Wire(four_workers.connect())) for _ in range(200)]
            self.check(Counter(wire.ask().body for wire in wires))

    def test_of_connections_that_ask_as_they_come(self, four_workers):
        with contextlib.ExitStack() as stack:
            self.check(
                Counter(stack.enter_context(Wire(four_workers.connect())).ask().body for _ in range(200))
            )

    def test_of_a_burst(self, four_workers):
        """All connect before any is established, and ask as soon as they are, as wrk does."""
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(socket.socket()) for _ in range(200)]
            for sock in socks:
                sock.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    sock.connect(four_workers.address)
            left = set(socks)
            while left:
                for sock in select.select([], left, [], 5)[1]:
                    sock.send(request())
                    left.remove(sock)
            for sock in socks:
                sock.settimeout(60)
            self.check(Counter(Wire(sock).answer().body for sock in socks))

    def test_costs_new_connections_no_time(self, four_workers):
        """Workers that leave connections to each other must not all do so at the same time."""
        with Load(four_workers.address, clients=4, pause=0.003, keep_alive=False) as load:
            wait_for(lambda: len(load.answers) > 400, "answers")
        assert load.broken == []
        taken = sorted(answer.seconds for answer in load.answers)
        assert taken[len(taken) // 2] < 0.005
        print(f"median {taken[len(taken) // 2] * 1e3:.1f} ms")


class TestBusy:
    @pytest.mark.parametrize("work", ["rest", "spin"])
    def test_quick_requests_do_not_wait_behind_a_long_one(self, site, work):
        site.begin(workers=4, threads=1)
        quick(site, 8)
        with Wire(site.connect()) as long:
            long.send(request(f"/{work}/6"))
            assert long.sock.recv(1)
            slowest = quick(site, 20)
            assert slowest < SOON
            print(f"slowest {slowest * 1e3:.1f} ms")

    @IN_ALL_MODELS
    def test_a_worker_whose_threads_are_all_stuck(self, site):
        """Their clients get a 504 at timeouts.request; nobody else notices, that worker's clients neither."""
        site.begin(workers=2, threads=2, timeouts={"request": "1s"})
        with contextlib.ExitStack() as stack:
            by_worker = defaultdict(list)
            while len(by_worker) < 2 or max(map(len, by_worker.values())) < 3:
                wire = stack.enter_context(Wire(site.connect()))
                by_worker[wire.ask().body].append(wire)
            (_, (other, *_)), (said, (same, *stuck)) = sorted(
                by_worker.items(), key=lambda item: len(item[1])
            )
            stuck = stuck[:2]
            for wire in stuck:
                wire.send(request("/sleep/15"))
            same.send(request())
            with Load(site.address, clients=2, pause=0.01, keep_alive=False) as load:
                assert other.ask().body != said
                assert [wire.answer().status for wire in stuck] == [504, 504]
                assert same.answer().body == said
                assert same.ask().body == said
            assert load.broken == []
            assert max(answer.seconds for answer in load.answers) < SOON
            site.wait_log("request stuck")
            if site.model == "green":  # a greenlet is ended where it waits
                wait_for(lambda: site.log.count("request stuck") == 2, "both lines", context=lambda: site.log)
                assert "to be recycled" not in site.log
            else:
                site.wait_log("to be recycled reason=.a stuck thread does not come back: GET /sleep/15 ")

    @IN_ALL_MODELS
    def test_a_request_that_waits_too_long_for_a_thread(self, site):
        site.begin(workers=1, threads=1, timeouts={"queue": "300ms"})
        with Wire(site.connect()) as long:
            long.send(request("/sleep/2"))
            wait_for(lambda: site.get().status == 503, "a refusal")
            answer = site.get()
            assert answer.status == 503
            assert int(answer.headers["retry-after"]) >= 1
            assert long.answer().status == 200
        assert site.get().status == 200


class TestSlowClients:
    """60 of each kind at once, on one worker with two threads; the others do not notice."""

    @pytest.fixture
    def site(self, site):
        return site.begin(workers=1, threads=2)

    @contextlib.contextmanager
    def trickling(self, site, data, rest):
        """60 clients that have sent `data`, and go on with `rest` byte by byte."""
        with contextlib.ExitStack() as stack:
            socks = [stack.enter_context(site.connect()) for _ in range(60)]
            for sock in socks:
                sock.sendall(data)
            stop = threading.Event()
            thread = threading.Thread(target=self._trickle, args=(socks, rest, stop))
            thread.start()
            try:
                yield
            finally:
                stop.set()
                thread.join()

    def _trickle(self, socks, rest, stop):
        for byte in rest:
            for sock in socks:
                sock.send(bytes([byte]))
            if stop.wait(0.02):
                return

    @IN_ALL_MODELS
    def test_that_trickle(self, site):
        head, body = request("/", "POST", ["Content-Length: 900"]), b"x" * 900
        with self.trickling(site, head[:10], head[10:-2] + b"x: y" * 500), self.trickling(site, head, body):
            slowest = quick(site, 100)
        assert slowest < SOON
        print(f"slowest {slowest * 1e3:.1f} ms")

    def test_that_read_slowly(self, site):
        paths = ["/file"] * 50 + ["/whole"] * 5 + ["/pieces"] * 5
        with contextlib.ExitStack() as stack:
            for path in paths:
                wire = stack.enter_context(Wire(site.connect()))
                wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                wire.send(request(path))
                assert wire.sock.recv(100)
            slowest = quick(site, 100)
            assert slowest < SOON
            print(f"slowest {slowest * 1e3:.1f} ms")

    @pytest.mark.parametrize("path", ["/file", "/whole", "/pieces"])
    def test_a_reader_that_rests_gets_everything(self, site, path):
        with Wire(site.connect()) as wire:
            wire.send(request(path))
            assert site.get().status == 200
            assert len(wire.answer().body) == 50 << 20
            assert wire.ask().status == 200


def test_idle_connections(site):
    """1,000 on one worker: nobody is delayed, and each takes a few KB of memory."""
    site.begin(workers=1, threads=4, limits={"connections": 1200})
    (worker,) = site.wait_workers(1)
    for _ in range(200):
        site.get()
    memory = psutil.Process(worker).memory_info
    with contextlib.ExitStack() as stack:
        before = memory().rss
        wires = [stack.enter_context(Wire(site.connect())) for _ in range(1000)]
        for wire in wires:
            assert wire.ask().status == 200
        each = (memory().rss - before) / len(wires)
        assert quick(site, 100) < SOON
        for wire in wires[::100]:
            assert wire.ask().status == 200
    print(f"{each:.0f} bytes each")
    assert each < 6144


def test_a_site_at_rest_uses_hardly_any_cpu(site):
    site.begin(workers=4, threads=8)
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(Wire(site.connect())).ask()
        processes = [psutil.Process(site.pid), *site.children()]
        before, began = cpu(processes), time.monotonic()
        time.sleep(5)  # what happens in this time is what is measured
        used = 100 * (cpu(processes) - before) / (time.monotonic() - began)
    print(f"{used:.2f} % of a CPU")
    assert used < 4, "of a slow one beside others; alone it is less than half of that"


def cpu(processes):
    return sum(sum(process.cpu_times()[:2]) for process in processes)
