"""Requests that arrive together: their answers leave together, and none waits for long."""

from __future__ import annotations

import threading
import time

import pytest

from superwsgi.config.sections import HealthSettings
from tests.fixtureapps.wsgi_paths import app, gate, inside
from tests.worker.running import eventually, running


def test_each_gets_its_answer():
    with running(app, early=["/", "/said"] * 20) as worker:
        answers = [client.response() for client in worker.early]
        assert {status for status, _, _ in answers} == {200}
        assert [body == b"hello" for _, _, body in answers] == [True, False] * 20
        eventually(lambda: worker.access_file.read_text().count(" 200 ") == 40)
        for client in worker.early:
            assert client.get().response()[2] == b"hello"


def test_no_answer_waits_for_a_request_that_blocks():
    with running(app, early=["/", "/", "/wait", "/"]) as worker:
        assert inside.acquire(timeout=60)
        for number in (0, 1, 3):
            assert worker.early[number].response()[2] == b"hello"
        gate.set()
        assert worker.early[2].response()[2] == b"hello"


@pytest.mark.parametrize("path", ["/closing", "/closing-later"])
def test_no_answer_waits_for_an_application_that_blocks_behind_it(path):
    with running(app, threads=4, early=[path, path, "/"]) as worker:
        assert [client.response()[2] for client in worker.early] == [b"all of it", b"all of it", b"hello"]
        eventually(lambda: worker.access_file.read_text().count(" 200 ") == 1)  # two are not done
        gate.set()
        eventually(lambda: worker.access_file.read_text().count(" 200 ") == 3)


def test_an_error_behind_the_end_of_an_answer_ends_the_connection():
    with running(app, early=["/error", "/error", "/"]) as worker:
        for client in worker.early[:2]:
            assert client.rest().endswith(b"all of it")
        assert worker.early[2].response()[2] == b"hello"
        eventually(lambda: "after the end" in worker.errors)


def test_health_checks_pass_requests_that_are_run_one_after_another():
    """Each of them computes, and costs a lease at least before the next is run."""
    begun = []
    go = threading.Event()

    def computing(environ, start_response):
        begun.append(environ)
        end = time.thread_time() + 0.02
        while not go.is_set() and time.thread_time() < end:
            pass
        return app(environ, start_response)

    early = ["/"] * 90 + ["/readyz"]
    with running(computing, threads=90, early=early, health=HealthSettings(ready="/readyz")) as worker:
        assert worker.early[-1].response()[::2] == (200, b"ok\n")
        assert len(begun) < 90
        go.set()
        assert {client.response()[0] for client in worker.early[:-1]} == {200}


def test_whoever_comes_back_from_waiting_runs_the_next():
    """More requests than threads, all of which wait: each is answered once, and none is taken up for ever."""

    def waiting(environ, start_response):
        time.sleep(0.005)
        return app(environ, start_response)

    with running(waiting, threads=8, early=["/"] * 40) as worker:
        for _ in range(4):
            assert {client.response()[2] for client in worker.early} == {b"hello"}
            for client in worker.early:
                client.get()
        assert {client.response()[2] for client in worker.early} == {b"hello"}
        eventually(lambda: worker.counters.taken == 0)
        eventually(lambda: worker.access_file.read_text().count(" 200 ") == 200)
        assert sum(worker.counters.counts.answers) == 200
