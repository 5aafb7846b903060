"""`superwsgi why`: what an operator is told of what has gone wrong."""

import json
import re
import signal

import pytest

from tests.e2e.daemon import IN_ALL_MODELS, wait_for
from tests.e2e.wire import Wire

pytestmark = pytest.mark.drill

APP = """
    import ctypes, os, signal, time

    def crash(): ctypes.string_at(0)
    def kill(): os.kill(os.getpid(), signal.SIGKILL)
    def leave(): os._exit(7)
    def sleep(): time.sleep(60)
    def fail(): 1 / 0
    VIEWS = {f"/{view.__name__}": view for view in (crash, kill, leave, sleep, fail)}

    def app(environ, start_response):
        VIEWS.get(environ["PATH_INFO"], lambda: None)()
        start_response("200 OK", [("X-Id", environ["HTTP_X_REQUEST_ID"])])
        return [b"well"]
"""


@pytest.fixture
def site(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=1, threads=2, limits={"queue": 1, "body": 10}, timeouts={"request": "2s"})
    daemon.start()
    daemon.wait_workers(1)
    return daemon


def why(site, *arguments):
    """The first line about each incident."""
    done = site.command("why", "-c", "site.yaml", "--short", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def dies_of(site, path):
    with Wire(site.connect()) as wire:
        wire.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return wait_for(lambda: [line for line in why(site) if "died" in line and path in line], path)[0]


@IN_ALL_MODELS
@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/crash", r"signal 11 \(SIGSEGV\): Segmentation fault in crash \(.*app\.py, line 4\)"),
        ("/kill", r"signal 9 \(SIGKILL\): not by the master"),
        ("/leave", r"exit code 7: the application has called os\._exit"),
    ],
)
def test_a_death(site, path, cause):
    said = dies_of(site, path)
    pattern = rf"#1 .* worker 1 died: {cause}; GET {path} [0-9a-f]+-1 \d.*s; 1 request lost; replaced"
    assert re.match(pattern, said), said
    wait_for(lambda: "replaced, served again after" in why(site, "1")[0], "replacement")
    assert "died" in site.log.partition(" incident=1\n")[0].splitlines()[-1]
    if path == "/crash":
        assert "in crash" in site.command("why", "-c", "site.yaml").stdout.partition("| ")[2]


def test_nothing(site):
    assert why(site) == ["site: nothing has gone wrong"]
    site.get("/fail")
    assert why(site) == ["site: nothing has gone wrong"], "an application's error is in the log"
    done = site.command("why", "-c", "site.yaml", "c0ffee-1")
    assert (done.returncode, done.stdout) == (1, "site: none of 0 incidents has to do with c0ffee-1\n")


@IN_ALL_MODELS
def test_a_request_that_is_stuck_by_its_id(site):
    with Wire(site.connect()) as wire:
        assert wire.ask("/sleep").status == 504

    def told():  # later ones stand before it: its worker is recycled for it
        return [line for line in why(site) if "request stuck; GET /sleep" in line]

    said = wait_for(told, "incident")[-1]
    assert "answered 504" in said
    identity = re.search(r"[0-9a-f]{16}-\d+", said)[0]
    assert all(identity in line for line in why(site, identity))
    assert "request stuck" in why(site, identity)[-1]
    assert re.search(r"\n +\| +File .*in sleep\n", site.command("why", "-c", "site.yaml", identity).stdout)
    site.wait_log(r'request stuck .* next="(thread replaced|ended where it waits)" incident=1\n +File')


def test_who_was_refused_is_counted(site):
    def refused():
        with Wire(site.connect()) as wire:
            assert wire.ask("/", "POST", body=b"more than ten bytes").status == 413

    refused()
    said = wait_for(lambda: [line for line in why(site) if "request refused" in line], "incident")
    assert "answered 413" in said[0]
    for _ in range(29):
        refused()
    wait_for(lambda: "(30 times)" in why(site)[0], "30 of them")
    assert len(why(site)) == 1


def test_a_reload_that_fails_and_one_that_is_refused(site):
    site.write("app.py", "import no_such_module")
    site.send(signal.SIGHUP)
    said = wait_for(lambda: [line for line in why(site) if "reload failed" in line], "incident")
    assert "No module named 'no_such_module'" in said[0]
    assert "generation 1 goes on serving" in said[0]
    site.site(workers=-1)
    site.send(signal.SIGHUP)
    wait_for(lambda: "reload refused" in why(site)[0], "incident")


def test_an_upgrade_keeps_them(site):
    dies_of(site, "/leave")
    mark = site.mark()
    site.send(signal.SIGUSR2)
    site.wait_log("reload complete", since=mark)
    assert [re.match("#1 .*exit code 7", line) is not None for line in why(site)] == [True]
    assert dies_of(site, "/kill").startswith("#2 ")


def test_as_json(site):
    dies_of(site, "/leave")
    done = site.command("why", "-c", "site.yaml", "--json")
    (one,) = map(json.loads, done.stdout.splitlines())
    assert (one["number"], one["event"], one["worker"], one["times"]) == (1, "died", 1, 1)
    assert one["requests"][0]["target"] == "/leave"
