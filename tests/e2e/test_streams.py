"""Event streams: clients that leave while nothing happens, and ends that are none."""

import contextlib
import json
import signal

import pytest

from tests.e2e.daemon import FIXTURE_APPS, IN_ALL_MODELS, wait_for

BEGUN = b": begun\n\n"


@pytest.fixture
def site(daemon):
    def start(**keys):
        daemon.write("app.py", (FIXTURE_APPS / "e2e_streams.py").read_text())
        daemon.site(**{"workers": 1, "threads": 2, **keys})
        return daemon.start()

    return start


def open_stream(site, version="1.1"):
    """A socket, once the first event has come."""
    client = site.connect()
    client.sendall(f"GET /events HTTP/{version}\r\nHost: x\r\n\r\n".encode())
    received = b""
    while BEGUN not in received:
        received += client.recv(1000)
    return client


def end_of(client):
    """What comes last: bytes, or an error."""
    whole = b""
    try:
        while piece := client.recv(1000):
            whole += piece
    except ConnectionResetError:
        return ConnectionResetError
    return whole.removeprefix(b"\r\n")


def threads(site):
    return json.loads(site.command("status", "--json").stdout)["threads"]


@pytest.mark.parametrize("daemon", ["fixed", "elastic"], indirect=True)
def test_a_worker_is_not_held_by_clients_that_have_left(site):
    site = site()
    for client in [open_stream(site) for _ in range(2)]:
        client.close()
    assert site.get("/open").text == "2"
    wait_for(
        lambda: site.log.count("thread given up") == 2, "threads that are given up", context=lambda: site.log
    )
    assert wait_for(lambda: threads(site)["left"] == 2, "threads in the status")
    assert ", 2 whose clients have left" in site.command("status").stdout
    site.get("/tell")
    wait_for(lambda: site.get("/open").text == "0", "the end of both", context=lambda: site.log)
    assert "to be recycled" not in site.log


@pytest.mark.parametrize("daemon", ["green"], indirect=True)
def test_a_greenlet_whose_client_has_left_ends(site):
    """It is told where it waits, which nobody can do to a thread."""
    site = site()
    for client in [open_stream(site) for _ in range(2)]:
        client.close()
    wait_for(lambda: site.get("/open").text == "0", "the end of both", context=lambda: site.log)
    wait_for(lambda: site.log.count("thread given up") == 2, "both lines", context=lambda: site.log)
    wait_for(lambda: threads(site)["left"] == 0, "no greenlets that are left", context=lambda: site.log)
    assert "to be recycled" not in site.log


@pytest.mark.drill
def test_where_too_many_wait_in_vain_the_worker_is_recycled(site):
    site = site(threads=1)
    open_stream(site).close()
    site.wait_log("thread given up")
    open_stream(site).close()
    site.wait_log("to be recycled .*1 thread waits for events of streams whose clients have left")
    site.wait_log("ended reason=")
    assert site.get("/open").text == "0"
    assert "clients have left" in site.command("why").stdout


@IN_ALL_MODELS
@pytest.mark.parametrize(
    ("how", "version", "end"),
    [
        ("deadline", "1.1", b""),
        ("kill", "1.0", ConnectionResetError),
        pytest.param("graceful", "1.1", b"", marks=pytest.mark.drill),
        pytest.param("graceful", "1.0", ConnectionResetError, marks=pytest.mark.drill),
    ],
)
def test_a_stream_that_ends_too_early_is_known_to(site, how, version, end):
    seconds = {"request": "500ms"} if how == "deadline" else {"graceful": "300ms"}
    site = site(timeouts=seconds, log={"access": "access.log"})
    with contextlib.closing(open_stream(site, version)) as client:
        if how == "kill":
            site.send(signal.SIGKILL, site.workers()[0])
        elif how == "graceful":
            site.send(signal.SIGTERM)
        assert end_of(client) == end
    if how != "kill":
        status = {"deadline": 504, "graceful": 503}[how]
        line = f'"GET /events HTTP/{version}" {status} {len(BEGUN)}'
        wait_for(lambda: line in (site.folder / "access.log").read_text(), line)
    if how == "deadline":
        assert f"its response ends incomplete, after {len(BEGUN)} bytes" in site.command("why").stdout
