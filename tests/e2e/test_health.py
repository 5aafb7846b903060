"""Health checks: answered by the loop, whatever the application does, and true to what becomes of the
site."""

import contextlib
import http.client
import json
import re
import signal
import socket
import time

import psutil
import pytest

from tests.certificates import Authority
from tests.e2e.daemon import DEADLINE, FIXTURE_APPS, wait_for
from tests.e2e.load import Load
from tests.e2e.wire import Wire, request
from tests.http.client.proxy_headers import V1

PATHS = {"live": "/livez", "ready": "/readyz"}
OK, DRAINING = (200, b"ok\n"), (503, b"draining\n")
QUICK = (200, b"quick")


@pytest.fixture
def start(daemon):
    """Starts e2e_waiting with these keys, and health paths."""

    def start(health=PATHS, **keys):
        write(daemon, health, **keys)
        return daemon.start()

    return start


def write(site, health=PATHS, **keys):
    site.write("app.py", (FIXTURE_APPS / "e2e_waiting.py").read_text())
    site.site(workers=keys.pop("workers", 1), health=health, **keys)


@pytest.fixture(scope="module")
def shared(shared_daemon):
    bind = ["127.0.0.1:0", f"unix:{shared_daemon.folder}/health"]
    write(shared_daemon, {**PATHS, "bind": bind}, log={"access": "access.log"})
    return shared_daemon.start()


@pytest.fixture
def wire(shared):
    with Wire(shared.connect()) as wire:
        yield wire


def health_port(site, since=0):
    """Where TCP connections get nothing but health checks."""
    found = site.wait_log(r'listening address=http\S*://([\d.]+):(\d+) only="health checks"', since)
    return found[1], int(found[2])


def asked(site, path="/readyz"):
    answer = site.get(path)
    return answer.status, answer.body


def said(answer):
    return answer.status, answer.body


@contextlib.contextmanager
def asking(site, *paths):
    """Connections that have asked for these and are not answered."""
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(Wire(site.connect())) for _ in paths]
        for wire, path in zip(wires, paths, strict=True):
            wire.send(request(path))
        yield wires


class TestAnswers:
    @pytest.mark.parametrize("path", PATHS.values())
    def test_what_it_says(self, wire, path):
        answer = wire.ask(path)
        assert said(answer) == OK
        assert answer.fields.pop("date").endswith("GMT")
        assert answer.fields.pop("x-request-id")
        assert answer.fields == {
            "content-type": "text/plain",
            "content-length": "3",
            "cache-control": "no-store",
        }

    @pytest.mark.parametrize(
        "target",
        [
            "/livez?verbose=1",
            "/livez?",
            "/%6civez",
            "/%6C%69%76%65%7A?x",
            "http://elsewhere.example/livez",
            "http://elsewhere.example:81/livez?x",
        ],
    )
    def test_other_spellings_of_a_path(self, wire, target):
        assert said(wire.ask(target)) == OK

    @pytest.mark.parametrize(
        "target", ["/livez/", "/livez%2f", "/livezz", "/LIVEZ", "//livez", "/x/../livez", "/?/livez", "/live"]
    )
    def test_what_is_the_applications(self, wire, target):
        assert said(wire.ask(target)) == QUICK

    def test_head(self, wire):
        wire.send(request("/readyz", "HEAD") + request("/", "GET"))
        answer = wire.answer("HEAD")
        assert (answer.status, answer.fields["content-length"]) == (200, "3")
        assert said(wire.answer()) == QUICK

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "PROPFIND"])
    def test_other_methods(self, wire, method):
        answer = wire.ask("/readyz", method, body=b"x" * 300_000)
        assert (answer.status, answer.fields["allow"]) == (405, "GET, HEAD")
        assert said(wire.ask("/livez")) == OK

    def test_bodies_are_no_part_of_what_follows(self, wire):
        chunked = ["Transfer-Encoding: chunked"]
        wire.send(
            request("/livez", fields=chunked) + b"3\r\nabc\r\n0\r\n\r\n" + request("/readyz", body=b"GET")
        )
        assert [said(wire.answer()) for _ in range(2)] == [OK, OK]
        wire.send(request("/livez", "POST", ["Expect: 100-continue", "Content-Length: 3"]))
        assert wire.answer().status == 100
        wire.send(b"abc" + request())
        assert [wire.answer().status, said(wire.answer())] == [405, QUICK]

    def test_in_the_order_of_the_requests(self, wire):
        targets = ["/", "/livez", "/", "/", "/readyz", "/livez", "/"]
        wire.send(b"".join(map(request, targets)))
        assert [wire.answer().body for _ in targets] == [
            b"ok\n" if target in PATHS.values() else b"quick" for target in targets
        ]

    def test_a_thousand_that_nobody_reads_yet(self, shared):
        with Wire(shared.connect()) as wire:
            wire.sock.settimeout(DEADLINE)
            wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            for _ in range(10):
                wire.send(request("/livez") * 100)
            assert said(wire.ask("/readyz")) == OK
            assert {said(wire.answer()) for _ in range(1000)} == {OK}

    def test_connections_that_end(self, shared):
        for fields, version, kept in (
            (["Connection: close"], "HTTP/1.1", None),
            ([], "HTTP/1.0", None),
            (["Connection: keep-alive"], "HTTP/1.0", "keep-alive"),
        ):
            with Wire(shared.connect()) as wire:
                answer = wire.ask("/livez", fields=fields, version=version)
                assert said(answer) == OK
                assert answer.fields["connection"] == (kept or "close")
                assert said(wire.ask("/livez")) == OK if kept else wire.ended()

    def test_whatever_the_host(self, shared):
        with Wire(shared.connect()) as wire:
            for host in ("elsewhere.example", "10.0.0.1:8000", "[::1]", "_"):
                wire.send(f"GET /readyz HTTP/1.1\r\nHost: {host}\r\n\r\n")
                assert said(wire.answer()) == OK
            wire.send("GET /readyz HTTP/1.0\r\n\r\n")
            assert said(wire.answer()) == OK

    @pytest.mark.parametrize(
        "head",
        [
            "GET /livez HTTP/1.1\r\n\r\n",
            "GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
            "GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "GET /livez HTTP/1.1\nHost: a\r\n\r\n",
            "GET  /livez HTTP/1.1\r\nHost: a\r\n\r\n",
        ],
    )
    def test_what_is_malformed_is_refused(self, wire, head):
        wire.send(head)
        assert wire.answer().status == 400
        assert wire.ended()

    def test_an_address_of_their_own(self, shared):
        for connect in (
            lambda: socket.create_connection(health_port(shared), DEADLINE),
            lambda: unix(shared),
        ):
            with Wire(connect()) as wire:
                assert said(wire.ask("/livez")) == OK
                for path in ("/", "/readyz/", "/events"):
                    assert wire.ask(path, "POST", body=b"x").status == 404
                assert said(wire.ask("/readyz")) == OK

    def test_nobody_counts_them(self, shared):
        def requests():
            (worker,) = json.loads(shared.command("status", "--json").stdout)["workers"]
            return worker["requests"]

        before = requests()
        with Wire(shared.connect()) as wire:
            for path in ("/livez", "/readyz", "/livez?x", "/here"):
                wire.ask(path)
            wire.ask("/livez", "POST")
        assert requests() == before + 1
        log = shared.folder / "access.log"
        wait_for(lambda: '"GET /here ' in log.read_text(), "line in the access log")
        logged = re.findall(r'"\S+ /(?:livez|readyz)(?:\?\S*)? HTTP/\S+" (\d+)', log.read_text())
        assert set(logged) <= {"400"}, "only what was refused, by other tests"

    def test_status_names_the_addresses(self, shared):
        host, port = health_port(shared)
        there = f"http://{host}:{port}", f"unix:{shared.folder}/health"
        assert json.loads(shared.command("status", "--json").stdout)["checks"] == list(there)
        assert f"health checks: {' '.join(there)}\n" in shared.command("status").stdout


def unix(site):
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(site.folder / "health"))
    return sock


class TestWhileTheApplicationIsBusy:
    def keep_asking(self, ask, seconds):
        """Each is answered, though threads are as busy as ever; how soon depends on the machine."""
        slowest, end = 0.0, time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            ask()
            slowest = max(slowest, time.monotonic() - began)
        print(f"slowest {slowest * 1e3:.1f} ms")

    @pytest.mark.parametrize("threads", [2, {"min": 1, "max": 2}], ids=["fixed", "elastic"])
    def test_all_threads_sleep_and_the_queue_is_full(self, start, threads):
        site = start({**PATHS, "bind": "127.0.0.1:0"}, threads=threads, limits={"queue": 2})
        with Wire(site.connect()) as kept, asking(site, *["/reports/1"] * 2) as running:
            self.wait_threads(site, busy=2, queued=0)
            with asking(site, *["/reports/1"] * 2) as waiting:
                self.wait_threads(site, busy=2, queued=2)
                self.check_that_it_is_answered(site, kept)
                site.write("go", "")
                assert [wire.answer().status for wire in (*running, *waiting)] == [200] * 4

    def wait_threads(self, site, **wanted):
        def found():
            threads = status(site)["threads"]
            return wanted == {name: threads[name] for name in wanted}

        wait_for(found, f"threads {wanted}", context=lambda: site.log)

    def check_that_it_is_answered(self, site, kept):
        def ask():
            for path in PATHS.values():
                assert asked(site, path) == said(kept.ask(path)) == OK
            with Wire(socket.create_connection(health_port(site))) as wire:
                assert said(wire.ask("/readyz")) == OK

        assert asked(site, "/")[0] == 503
        self.keep_asking(ask, 1.0)
        assert asked(site, "/")[0] == 503

    def test_eight_threads_compute(self, start):
        site = start(app="e2e_work:app", chdir=str(FIXTURE_APPS), threads=8)
        with asking(site, *["/spin/2"] * 8) as busy:
            self.keep_asking(lambda: asked(site), 1.0)
            assert said(busy[0].answer()) == (200, b"begun")

    def test_no_connection_is_left(self, start):
        """Neither to the site nor to this client; those for checks are others."""
        site = start({**PATHS, "bind": "127.0.0.1:0"}, threads=1, limits={"connections": 2, "per_address": 2})
        with asking(site, "/reports/1", "/reports/2") as slow:
            wait_for(lambda: status(site)["connections"] == 2, "connections")
            with contextlib.ExitStack() as stack:
                for _ in range(20):
                    wire = stack.enter_context(Wire(socket.create_connection(health_port(site), DEADLINE)))
                    assert said(wire.ask("/readyz")) == OK
            site.write("go", "")
            assert [wire.answer().status for wire in slow] == [200, 200]


def status(site):
    (worker,) = json.loads(site.command("status", "--json").stdout)["workers"]
    return worker


@pytest.mark.drill
class TestLeaving:
    def test_a_stop_is_told_as_soon_as_the_lame_duck_time_begins(self, start):
        site = start({**PATHS, "bind": "127.0.0.1:0"}, workers=2, timeouts={"lame_duck": "3s"})
        with Wire(site.connect()) as kept:
            assert said(kept.ask("/readyz")) == OK
            site.send(signal.SIGTERM)
            wait_for(lambda: asked(site) == DRAINING, "readiness gone")
            for _ in range(20):
                assert asked(site) == said(kept.ask("/readyz")) == DRAINING
                assert asked(site, "/livez") == OK
                assert asked(site, "/") == said(kept.ask("/")) == QUICK
            with Wire(socket.create_connection(health_port(site))) as wire:
                assert said(wire.ask("/readyz")) == DRAINING
        assert site.wait_exit() == 0

    def test_workers_that_drain_already_tell_it_too(self, start):
        site = start(timeouts={"lame_duck": "4s"})
        old = site.workers()
        with Wire(site.connect()) as kept:
            assert said(kept.ask("/readyz")) == OK
            site.reload("rolled out")
            assert said(kept.ask("/readyz")) == OK, "a successor serves"
            site.send(signal.SIGTERM)
            wait_for(lambda: said(kept.ask("/readyz")) == DRAINING, "readiness gone")
            assert set(old) <= set(site.workers())
            assert {asked(site) for _ in range(20)} == {DRAINING}

    def test_a_reload_does_not_take_the_machine_out(self, start):
        site = start(workers=2)
        with (
            Load(site.address, clients=2, path="/readyz", expect={b"ok\n"}) as kept,
            Load(site.address, clients=2, path="/readyz", expect={b"ok\n"}, keep_alive=False) as new,
        ):
            for _ in range(2):
                site.reload("rolled out")
            assert kept.bodies_from_now() | new.bodies_from_now() == {b"ok\n"}
        assert kept.broken == new.broken == []

    def test_nor_does_recycling_the_only_worker(self, start):
        site = start(requests={"max": 5})
        mark = site.mark()
        with (
            Load(site.address, clients=1, path="/readyz", expect={b"ok\n"}) as ready,
            Load(site.address, clients=1, expect={b"quick"}),
        ):
            site.wait_log("(?s)" + r"ended reason=requests.*" * 2, since=mark)
        assert ready.broken == []

    def test_without_overlap_nobody_serves_for_a_while(self, start):
        """Balancers have the lame-duck time to send requests elsewhere."""
        rollout = {"overlap": False, "confirm": "200ms"}
        site = start(rollout=rollout, timeouts={"lame_duck": "2s"})
        site.send(signal.SIGHUP)
        wait_for(lambda: asked(site) == DRAINING, "readiness gone")
        assert asked(site, "/") == QUICK
        site.wait_log("reload complete")
        assert asked(site) == OK

    @pytest.mark.parametrize(("workers", "then"), [(1, DRAINING), (2, OK)])
    def test_a_worker_that_an_operator_has_told_to_go(self, start, workers, then):
        site = start(workers=workers, timeouts={"linger": "20s"})
        pids = site.wait_workers(workers)
        with Wire(site.connect()) as kept, Wire(site.connect()) as held:
            assert said(kept.ask("/readyz")) == OK
            held.send(request("/reports/1"))
            for pid in self.owner(site, pids, kept):
                site.send(signal.SIGTERM, pid)
            closing = wait_for(
                lambda: answer if "connection" in (answer := kept.ask("/readyz")).fields else None, "end"
            )
            assert said(closing) == then
            site.write("go", "")

    def owner(self, site, pids, wire):
        """The worker that has this connection."""
        port = wire.sock.getsockname()[1]
        peers = {pid: [c.raddr for c in psutil.Process(pid).net_connections()] for pid in pids}
        return [pid for pid in pids if any(peer and peer.port == port for peer in peers[pid])]

    def test_a_worker_whose_master_has_vanished(self, start):
        site = start(workers=2, timeouts={"linger": "20s"})
        site.wait_workers(2)
        with Wire(site.connect()) as kept:
            assert said(kept.ask("/readyz")) == OK
            site.send(signal.SIGKILL)
            wait_for(lambda: said(kept.ask("/readyz")) == DRAINING, "readiness gone")
            assert kept.ended()


@pytest.mark.drill
class TestAddresses:
    def test_they_come_and_go_with_the_site_file(self, start, daemon):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        site = start(None)
        assert asked(site) == QUICK, "the application's, without health"
        mark = site.mark()
        write(site, {**PATHS, "bind": f"127.0.0.1:{port}"}, bind=f"127.0.0.1:{site.address[1]}")
        site.reload("rolled out")
        assert health_port(site, mark)[1] == port
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as client:
            client.request("GET", "/")
            assert client.getresponse().status == 404
        wait_for(lambda: asked(site) == OK, "no more of what an old worker has accepted")
        write(site, PATHS, bind=[f"127.0.0.1:{site.address[1]}", f"127.0.0.1:{port}"])
        site.reload("rolled out")

        def served():
            with Wire(socket.create_connection(("127.0.0.1", port))) as wire:
                return said(wire.ask()) == QUICK

        wait_for(served, "the application on the same socket")
        write(site, PATHS, bind=f"127.0.0.1:{site.address[1]}")
        site.reload("rolled out")
        site.reload("rolled out")  # which confirms the one before

        def refused():
            with socket.socket() as sock:
                return sock.connect_ex(("127.0.0.1", port)) != 0

        wait_for(refused, "end of what is not named any more")

    def test_an_upgrade_keeps_them(self, start):
        site = start({**PATHS, "bind": ["127.0.0.1:0", "unix:health"]})
        address = health_port(site)
        with Load(address, clients=2, path="/readyz", expect={b"ok\n"}, keep_alive=False) as load:
            mark = site.mark()
            site.send(signal.SIGUSR2)
            site.wait_log("program replaced", since=mark)
            site.wait_log("reload complete", since=mark)
            load.bodies_from_now()
        assert load.broken == []
        for sock in (socket.create_connection(address), unix(site)):
            with Wire(sock) as wire:
                assert said(wire.ask("/readyz")) == OK
                assert wire.ask("/").status == 404

    def test_tls_and_the_proxy_protocol(self, start, tmp_path):
        authority = Authority(tmp_path)
        pair = authority.pair("shop.example")
        site = start(
            {**PATHS, "bind": ["127.0.0.1:0", "https://127.0.0.2:0"]},
            bind=["127.0.0.1:0", "https://127.0.0.1:0"],
            tls={"certificate": str(pair.certificate), "key": str(pair.key)},
            proxy={"protocol": True},
        )
        for scheme, host, port, only in re.findall(
            r'listening address=(https?)://([\d.]+):(\d+)( only="health checks")?', site.log
        ):
            sock = socket.create_connection((host, int(port)), DEADLINE)
            if not only:
                sock.sendall(V1)
            if scheme == "https":
                sock = authority.client().wrap_socket(sock, server_hostname="shop.example")
            with Wire(sock) as wire:
                assert said(wire.ask("/readyz")) == OK
                assert wire.ask("/").status == (404 if only else 200)


class TestCheck:
    def test_an_application_at_a_health_path_is_told_of(self, daemon):
        daemon.write("app.py", (FIXTURE_APPS / "e2e_waiting.py").read_text())
        apps = {"/": "app:app", "/livez": "app:app", "shop.example/readyz/": "app:app", "/livez/x": "app:app"}
        daemon.site(app=None, apps=apps, health=PATHS)
        checked = daemon.command("check", "-c", "site.yaml")
        assert checked.returncode == 0
        told = [
            "apps: /livez: health.live answers this path on every host, the application only those below it",
            "apps: shop.example/readyz: health.ready answers this path on every host, "
            "the application only those below it",
        ]
        assert [line.partition(": ")[2] for line in checked.stderr.splitlines()] == [
            f"warning: {each}" for each in told
        ]
        site = daemon.start()
        for each in told:
            site.wait_log(re.escape(f'warning master={site.pid} site file problem="{each}"'))
        assert asked(site, "/livez") == OK
        assert asked(site, "/livez/below") == QUICK

    def test_an_address_that_cannot_be_bound(self, daemon):
        daemon.write("app.py", (FIXTURE_APPS / "e2e_waiting.py").read_text())
        daemon.site(health={**PATHS, "bind": "unix:/proc/none/health"})
        checked = daemon.command("check", "-c", "site.yaml")
        assert checked.returncode == 2
        assert re.search(r"health\.bind: /proc/none/health: ", checked.stderr)
