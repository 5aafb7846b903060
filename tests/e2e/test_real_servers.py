"""Many requests of one worker wait for a real server at once, by the libraries that applications use for it:
all are there at the same time, and each is answered what it asked for.
"""

import contextlib
import http.client
import importlib
import os
import pwd
import subprocess
import tempfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.e2e.daemon import FIXTURE_APPS, IN_ALL_MODELS, wait_for
from tests.tools import needed, needed_package

pytestmark = pytest.mark.drill

COUNT = 50


def program(name):
    """Of PostgreSQL, which Debian keeps from PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return str(found[-1]) if found else needed(name)


@contextlib.contextmanager
def folder():
    """Also for others than root, which PostgreSQL does not want to run as."""
    with tempfile.TemporaryDirectory() as path:
        owner = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
            owner = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        yield Path(path), owner


@pytest.fixture(scope="module")
def postgresql():
    """How to connect to a server of our own."""
    needed_package("psycopg_pool")
    with folder() as (path, owner):
        make = [program("initdb"), "-D", "data", "-U", "shop", "--auth=trust", "--no-sync"]
        subprocess.run(make, cwd=path, check=True, capture_output=True, **owner)
        command = [program("postgres"), "-D", "data", "-k", str(path), "-F", "-c", "listen_addresses="]
        with (
            (path / "log").open("wb") as log,
            subprocess.Popen(command, cwd=path, stderr=log, **owner) as server,
        ):
            try:
                how = f"host={path} user=shop dbname=postgres"
                wait_for(lambda: connected(how), "PostgreSQL", 60, (path / "log").read_text)
                yield how
            finally:
                server.terminate()


def connected(how):
    psycopg = importlib.import_module("psycopg")
    with contextlib.suppress(psycopg.OperationalError), psycopg.connect(how):
        return True


@pytest.fixture(scope="module")
def redis_socket(tmp_path_factory):
    needed_package("redis")
    path = tmp_path_factory.mktemp("redis")
    command = [needed("redis-server"), "--port", "0", "--unixsocket", "redis.sock", "--save", ""]
    with subprocess.Popen(command, cwd=path, stdout=subprocess.DEVNULL) as server:
        wait_for((path / "redis.sock").exists, "redis")
        yield str(path / "redis.sock")
        server.terminate()


class OtherServer(ThreadingHTTPServer):
    """Answers once all are there."""

    request_queue_size = 2 * COUNT

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Waits)
        self.all_there = threading.Barrier(COUNT, timeout=60)


class Waits(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.all_there.wait()
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.path) - 1))
        self.end_headers()
        self.wfile.write(self.path[1:].encode())

    def log_message(self, *_):
        pass


@pytest.fixture
def other():
    needed_package("requests")
    server = OtherServer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def site(daemon, postgresql, redis_socket, other):
    (daemon.folder / "e2e_servers.py").write_text((FIXTURE_APPS / "e2e_servers.py").read_text())
    daemon.site(
        app="e2e_servers:app",
        workers=1,
        threads=2 * COUNT,
        hooks={"after_fork": "e2e_servers:after_fork"},
        limits={"queue": 0},
        env={"DATABASE": postgresql, "REDIS": redis_socket, "OTHER": other},
    )
    return daemon.start()


@contextlib.contextmanager
def asked(site, what):
    """So many clients that wait for an answer, each for its own number."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(contextlib.closing(site.client(60))) for _ in range(COUNT)]
        for number, client in enumerate(clients):
            client.request("GET", f"/{what}/{number}")
        yield clients


def check_answers(clients: list[http.client.HTTPConnection]):
    answers = [client.getresponse() for client in clients]
    assert [answer.read().decode() for answer in answers] == [str(number) for number in range(COUNT)]


@IN_ALL_MODELS
def test_postgresql_by_a_pool_of_psycopg(site, postgresql):
    psycopg = importlib.import_module("psycopg")
    with psycopg.connect(postgresql, autocommit=True) as ours:
        ours.execute("SELECT pg_advisory_lock(7)")
        with asked(site, "postgresql") as clients:
            waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
            wait_for(lambda: ours.execute(waiting).fetchone()[0] == COUNT, "all", context=lambda: site.log)
            ours.execute("SELECT pg_advisory_unlock(7)")
            check_answers(clients)
    assert site.stop() == 0


@IN_ALL_MODELS
def test_redis(site, redis_socket):
    redis = importlib.import_module("redis")
    with (
        contextlib.closing(redis.Redis(unix_socket_path=redis_socket)) as ours,
        asked(site, "redis") as clients,
    ):
        wait_for(lambda: ours.info("clients")["blocked_clients"] == COUNT, "all", context=lambda: site.log)
        for number in range(COUNT):
            ours.rpush(f"list-{number}", number)
        check_answers(clients)
    assert site.stop() == 0


@IN_ALL_MODELS
def test_another_web_server_by_requests(site):
    with asked(site, "http") as clients:
        check_answers(clients)
    assert site.stop() == 0
