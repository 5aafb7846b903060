"""`warmup`: the first requests are the server's own."""

import re
import signal

import pytest

pytestmark = pytest.mark.drill

APP = """
    import os
    SEEN = []
    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if environ.get("HTTP_USER_AGENT") == "superwsgi-warmup":
            keys = ("HTTP_HOST", "PATH_INFO", "QUERY_STRING", "REMOTE_ADDR", "SERVER_NAME", "wsgi.url_scheme")
            SEEN.append("|".join(environ[key] for key in keys))
        if path == "/raise":
            raise ValueError("no such table")
        if path == "/late":
            start_response("200 OK", [])
            return late()
        status = {"/broken": "500 Oh", "/missing": "404 No"}.get(path, "200 OK")
        start_response(status, [("Content-Type", "text/plain")])
        return ["\\n".join(SEEN).encode()]
    def late():
        raise KeyError("late")
        yield b""
"""

both = pytest.mark.parametrize("preload", [True, False])


@pytest.fixture
def site(daemon):
    daemon.write("app.py", APP)
    return daemon


@both
def test_each_page_is_requested_before_anybody_can(site, preload):
    pages = ["/", "/a%20b?c=d", "shop.example.com/cart"]
    site.site(workers=1, preload=preload, warmup=pages)
    site.start()
    assert site.get().text.splitlines() == [
        "127.0.0.1:0|/||127.0.0.1|127.0.0.1|http",  # `bind` lets the kernel choose the port
        "127.0.0.1:0|/a b|c=d|127.0.0.1|127.0.0.1|http",
        "shop.example.com|/cart||127.0.0.1|127.0.0.1|http",
    ]
    for page in pages:
        assert f"page={page} " in site.log or f'page="{page}" ' in site.log
    assert "/cart HTTP/1.1" not in site.log, "not in the access log"


def test_a_unix_socket_has_no_address(site):
    site.site(workers=1, warmup="/", bind=["unix:x.sock", "127.0.0.1:0"])
    site.start()
    assert site.get().text == "localhost|/|||localhost|http"


@both
def test_a_single_failure_is_a_warning(site, preload):
    site.site(workers=1, preload=preload, warmup=["/", "/broken", "/raise", "/late", "/missing"])
    site.start()
    site.wait_log("warning.*warm-up failed page=/broken status=500")
    site.wait_log(
        r'warm-up failed error="ValueError: no such table" page=/raise next=.* incident=\d+\n +Traceback'
    )
    site.wait_log("warning.*warm-up failed page=/late status=500")
    site.wait_log("info .*warmed up page=/missing status=404")
    assert "request failed" in site.log, "what raises while it is iterated is reported as ever"
    assert site.get().status == 200


def test_a_page_that_the_server_refuses(site):
    site.site(workers=1, warmup=["/", "/" + "x" * 200], limits={"line": 100})
    site.start()
    site.wait_log("warm-up failed page=/xxx.* status=414")


@both
def test_an_application_that_answers_all_with_5xx_does_not_load(site, preload):
    site.site(workers=1, preload=preload, warmup=["/raise", "/broken"])
    site.start(ready=False)
    assert site.wait_exit() == 3
    assert "every warm-up request failed: /raise ValueError: no such table (" in site.log
    assert "app.py, line 10), /broken 500" in site.log
    assert site.log.count("Traceback") == 1


@both
def test_code_that_answers_all_with_5xx_does_not_take_over(site, preload):
    site.site(workers=1, preload=preload, warmup=["/"])
    site.start()
    site.write("app.py", "def app(environ, start_response):\n    raise RuntimeError('broken deploy')\n")
    site.send(signal.SIGHUP)
    site.wait_log("reload failed.*every warm-up request failed: / RuntimeError: broken deploy")
    assert site.get().status == 200


@both
def test_a_worker_that_replaces_another_serves_nevertheless(site, preload):
    """What the warm-up needs may be down, such as a database: a 500 now and then is better than no worker."""
    site.write("app.py", APP.replace('path == "/raise"', 'os.path.exists("down")'))
    site.site(workers=1, preload=preload, warmup=["/"])
    site.start()
    (site.folder / "down").touch()
    for process in site.children():  # the mold first
        mark = site.mark()
        site.send(signal.SIGKILL, process.pid)
        site.wait_log("mold ready|serving", since=mark)
    site.wait_log("warm-up failed.*no such table")
    assert "crash-loop" not in site.log
    (site.folder / "down").unlink()
    assert site.get().status == 200


@both
def test_one_that_hangs_is_ended_by_timeouts_boot(site, preload):
    site.write("app.py", "import time\ndef app(environ, start_response):\n    time.sleep(600)\n")
    site.site(workers=1, preload=preload, warmup=["/"], timeouts={"boot": "15s"})
    site.start(ready=False)
    assert site.wait_exit() == 3
    assert "timeouts.boot" in site.log
    assert re.search(r"(?s)still booting.*File .*app.py\", line 3 in app", site.log), site.log


def test_a_connection_that_it_opens_is_a_fork_hazard(site):
    site.write(
        "app.py",
        """
        import socket
        SERVER = []
        def app(environ, start_response):
            SERVER or SERVER.append(socket.create_server(("127.0.0.1", 0)))
            start_response("200 OK", [])
            return [b"x"]
        """,
    )
    site.site(workers=1, warmup=["/"])
    site.start()
    assert 'not preloaded reason="a listening socket on 127.0.0.1:' in site.log
    assert site.log.count("warmed up") == 1  # and its process has become the worker
