"""Clients and applications that mean harm, or do some: the worker goes on."""

import itertools
import json
import socket

import psutil
import pytest

from tests.e2e.daemon import DEADLINE, read_all, wait_for

APP = """
    import os, sys
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/fork" and os.fork() == 0:
            sys.exit(3)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""


@pytest.fixture
def site(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=1, threads=2)
    return daemon.start()


def test_a_length_with_thousands_of_zeros(site):
    (worker,) = site.wait_workers(1)
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: " + b"0" * 5000
    for _ in range(5):
        assert site.raw(head + b"3\r\n\r\nabc").startswith(b"HTTP/1.1 200")
    assert int(site.get().text) == worker


def test_a_length_beyond_all_limits(site):
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + b"9" * 19 + b"\r\n\r\n"
    assert site.raw(head).split()[1] in (b"400", b"413")
    assert site.get().status == 200


def test_a_child_that_the_application_forks_does_not_serve(site):
    (worker,) = site.wait_workers(1)
    answers = [int(site.get("/fork").text) for _ in range(5)]
    answers += [int(site.get().text) for _ in range(10)]
    assert set(answers) == {worker}
    wait_for(lambda: site.workers() == [worker], "end of the children")
    assert site.stop() == 0


def test_a_child_that_the_application_forks_does_not_hold_the_address(site):
    site.write("app.py", APP.replace("sys.exit(3)", "__import__('time').sleep(30)"))
    address = site.address
    site.stop()
    mark = site.mark()
    site.site(workers=1, threads=2, bind=f"{address[0]}:{address[1]}")
    site.start(ready=False)
    site.wait_log("serving", since=mark)
    assert site.get("/fork").status == 200
    children = {process.pid for process in site.children()}
    assert site.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        site.connect()
    assert not any(map(psutil.pid_exists, children))  # they go with their worker


@pytest.mark.parametrize("preload", [True, False])
def test_a_child_that_the_application_forks_at_import_does_not_hold_the_address(site, preload):
    address = site.address
    site.stop()
    mark = site.mark()
    site.write("app.py", FORKS_AT_IMPORT)
    site.site(workers=1, preload=preload, bind=f"{address[0]}:{address[1]}")
    site.start(ready=False)
    site.wait_log("serving", since=mark)
    child = int(site.get().text)
    assert site.stop() == 0
    with pytest.raises(ConnectionRefusedError):
        site.connect()
    assert not psutil.pid_exists(child)  # it goes with what it was forked from


SAYS = """
    import json
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "application/json")])
        return [json.dumps({key: value for key, value in environ.items() if isinstance(value, str)}).encode()]
"""


def test_clients_that_want_another_page_or_to_be_somebody_else(site):
    """Below a path, with proxies that are believed: what is let in is what it says, and the rest is refused.
    All on loopback, so what a client sends is a trusted peer's word here, and nobody takes it away."""
    site.stop()
    mark = site.mark()
    site.write("app.py", SAYS)
    site.site(workers=1, root="/sub", proxy={"prefix": True, "fields": ["OIDC_CLAIM_*"]})
    site.start(ready=False)
    site.wait_log("serving", since=mark)
    port = int(site.wait_log(r"listening.*?http://127\.0\.0\.1:(\d+)", since=mark)[1])
    targets = [
        "/sub/x",
        "/subway",
        "/sub/../x",
        "//sub",
        "/%73ub/x",
        "/sub;x",
        "/sub%2Fx",
        "http://a/sub/x",
        "*",
    ]
    fields = ["", "X-Forwarded-Prefix: //evil\r\n", "X-Forwarded-Prefix: /p\r\n", "OIDC-CLAIM-email: e\r\n"]
    fields += ["OIDC_CLAIM_email: e\r\n", "OIDC_CLAIM_email: e\r\noidc_claim_email: f\r\n"]
    found = {}
    for target, field in itertools.product(targets, fields):
        with socket.create_connection(("127.0.0.1", port), DEADLINE) as sock:
            sock.sendall(f"GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{field}\r\n".encode())
            head, _, body = read_all(sock).partition(b"\r\n\r\n")
        status = int(head.split()[1])
        assert status in (200, 400, 404), (target, field, head)
        if status == 200:
            said = json.loads(body)
            found[target, field.strip()] = said["SCRIPT_NAME"], said["PATH_INFO"]
            assert said.get("HTTP_OIDC_CLAIM_EMAIL") == ("e" if "CLAIM_" in field else None)
    let_in = {"/sub/x": "/x", "/%73ub/x": "/x", "http://a/sub/x": "/x"}
    assert found == {
        (target, field): (prefix + "/sub", path)
        for target, path in let_in.items()
        for field, prefix in {"": "", "X-Forwarded-Prefix: /p": "/p", "OIDC_CLAIM_email: e": ""}.items()
    }


FORKS_AT_IMPORT = """
    import os, time
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(child).encode()]
"""
