"""One id a request: in the environ, the response and both logs of a real daemon."""

import json
import socket

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for, whole_lines
from tests.e2e.wire import Wire

pytestmark = pytest.mark.drill

ID = "X-Request-ID: from-the-proxy:1"


@pytest.fixture
def site(daemon):
    daemon.site(
        app="e2e_identified:app",
        chdir=str(FIXTURE_APPS),
        workers=2,
        log={"access": "access.log", "format": "json"},
        limits={"body": "1K"},
        timeouts={"request": "1s"},
    )
    return daemon.start()


def logged(site, identity):
    """The access log's entry of this id."""

    def found():
        entries = map(json.loads, whole_lines((site.folder / "access.log").read_text()))
        return [entry for entry in entries if entry["request_id"] == identity]

    (entry,) = wait_for(found, f"{identity} in the access log")
    return entry


def ask(site, *fields, path="/", source="127.0.0.1", **more):
    with Wire(socket.create_connection(site.address, source_address=(source, 0))) as wire:
        return wire.ask(path, fields=fields, **more)


def test_a_trusted_proxys_id(site):
    answer = ask(site, ID)
    assert answer.body.decode() == answer.fields["x-request-id"] == "from-the-proxy:1"
    assert logged(site, "from-the-proxy:1")["status"] == 200


def test_nobody_elses(site):
    answer = ask(site, ID, source="127.0.0.2")
    made = answer.fields["x-request-id"]
    assert answer.body.decode() == made != "from-the-proxy:1"
    assert logged(site, made)["remote"] == "127.0.0.2"


def test_the_applications_own_stands_in_the_response_alone(site):
    assert ask(site, ID, path="/own").fields["x-request-id"] == "own"
    assert logged(site, "from-the-proxy:1")["target"] == "/own"


def test_errors_can_be_found_by_it(site):
    answer = ask(site, path="/fails")
    made = answer.fields["x-request-id"]
    site.wait_log(f"request failed .*request={made} ")
    entry = logged(site, made)
    assert (entry["status"], entry["sent"]) == (500, len(answer.body))


def test_a_stuck_request_too(site):
    answer = ask(site, ID, path="/stuck")
    assert answer.status == 504
    assert answer.fields["x-request-id"] == "from-the-proxy:1"
    site.wait_log("request stuck .*request=from-the-proxy:1 ")
    entry = logged(site, "from-the-proxy:1")
    assert (entry["status"], entry["sent"]) == (504, len(answer.body))


def test_refusals_too(site):
    with Wire(site.connect()) as wire:
        wire.send("nonsense\r\n\r\n")
        malformed = wire.answer()
    entry = logged(site, malformed.fields["x-request-id"])
    assert (entry["status"], entry["sent"], entry["method"]) == (400, len(malformed.body), "")
    too_large = ask(site, ID, "Content-Length: 2000", method="POST")
    assert too_large.fields["x-request-id"] == "from-the-proxy:1"
    entry = logged(site, "from-the-proxy:1")
    assert (entry["status"], entry["method"], entry["sent"]) == (413, "POST", len(too_large.body))


def test_no_worker_makes_the_id_of_another(site):
    made = [ask(site).fields["x-request-id"] for _ in range(20)]
    site.reload()
    made += [ask(site).fields["x-request-id"] for _ in range(20)]
    assert len(set(made)) == 40
    assert len({identity.rpartition("-")[0] for identity in made}) >= 2
