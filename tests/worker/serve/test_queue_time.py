"""How long a request has waited, as its application is told."""

from __future__ import annotations

import json
import time

import pytest

from superwsgi.config.sections import Proxy
from tests.fixtureapps.wsgi_paths import app as paths
from tests.fixtureapps.wsgi_paths import gate, hello, inside
from tests.worker.running import eventually, running


def app(environ, start_response):
    if environ["PATH_INFO"] != "/":
        return paths(environ, start_response)
    hello(environ, start_response)
    said = environ.get("HTTP_X_REQUEST_START", "")
    return [json.dumps([environ["superwsgi.queue_time"], said]).encode()]


def ask(client, *fields):
    seconds, said = json.loads(client.get("/", *fields).response()[2])
    assert type(seconds) is float
    return seconds, said


def test_nothing_where_nothing_waits():
    with running(app) as worker, worker.connect() as client:
        assert min(ask(client)[0] for _ in range(20)) == 0.0


def test_the_time_in_the_queue_which_the_access_log_has_too():
    with (
        running(app, threads=1, format="json") as worker,
        worker.connect() as first,
        worker.connect() as client,
    ):
        first.get("/wait")
        assert inside.acquire(timeout=60)
        began = time.monotonic()
        client.get("/")
        eventually(lambda: worker.counters.queued == 1)
        before = time.monotonic()
        time.sleep(0.05)
        least = time.monotonic() - before
        gate.set()
        seconds, _ = json.loads(client.response()[2])
        assert least <= seconds <= time.monotonic() - began
        eventually(lambda: f'"queued":{seconds:.6f}'.rstrip("0") in worker.access_file.read_text())


def test_of_requests_sent_at_once_none_has_waited_for_those_before_it():
    with running(app, threads=1) as worker, worker.connect() as client:
        client.get("/wait").get("/").get("/")
        assert inside.acquire(timeout=60)
        time.sleep(0.5)
        gate.set()
        client.response()
        assert all(json.loads(client.response()[2])[0] < 0.4 for _ in range(2))


class TestSinceAProxyGotIt:
    @pytest.mark.parametrize("unit", [1, 1e3, 1e6])
    def test_if_it_is_trusted(self, unit):
        with running(app, peers=Proxy(trusted=("127.0.0.1/32",))) as worker, worker.connect() as client:
            began = time.time() - 3
            said = f"t={began * unit:.3f}"
            seconds, told = ask(client, f"X-Request-Start: {said}")
            assert 2.999 <= seconds <= time.time() - began + 0.001
            assert told == said, "the application gets it as it is"
            assert ask(client)[0] < 3, "the next one on the connection has none"

    def test_and_else_not(self):
        with running(app, peers=Proxy(trusted=())) as worker, worker.connect() as client:
            seconds, told = ask(client, f"X-Request-Start: t={time.time() - 3}")
            assert seconds < 3
            assert told

    @pytest.mark.parametrize("said", ["nonsense", "t=1512379167.574", "t=99999999999"])
    def test_nor_what_cannot_be(self, said):
        with running(app, peers=Proxy(trusted=("127.0.0.1/32",))) as worker, worker.connect() as client:
            assert ask(client, f"X-Request-Start: {said}")[0] < 60

    def test_without_what_the_body_took_to_arrive(self):
        with running(app, peers=Proxy(trusted=("127.0.0.1/32",))) as worker, worker.connect() as client:
            began_at = f"X-Request-Start: {time.time() - 3}"
            head = f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n{began_at}\r\n\r\n"
            began = time.monotonic()
            client.send(head.encode())
            time.sleep(0.6)
            sent = time.monotonic()
            client.send(b"ok")
            seconds, _ = json.loads(client.response()[2])
            assert 2.999 <= seconds <= 3.5 + time.monotonic() - sent
            assert sent - began >= 0.6
