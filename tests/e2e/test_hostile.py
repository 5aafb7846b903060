"""Clients and applications that mean harm, or do some: the worker goes on."""

import psutil
import pytest

from tests.e2e.daemon import wait_for

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
