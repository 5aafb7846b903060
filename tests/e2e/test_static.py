"""`static` and `sendfile` of a real site: what only shows between a client and a worker, and at a start."""

import os
import re
import socket

import pytest

from tests.e2e.releases import APP as RELEASED
from tests.e2e.releases import Releases
from tests.e2e.wire import Wire, request

pytest.importorskip("whitenoise")

APP = """
    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path.startswith("/file/"):
            start_response("200 OK", [("X-Accel-Redirect", "/protected/" + path[6:])])
            return [b"dropped"]
        if path == "/stream":
            start_response("200 OK", [("X-Accel-Buffering", "no"), ("X-Sendfile2", "x")])
            return iter([b"one ", b"two"])
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"app: " + path.encode("latin-1")]
"""
LARGE = bytes(range(256)) * 20_000
SITE = {"static": {"/static": "./public"}, "sendfile": {"/protected": "./files"}, "workers": 1, "threads": 4}

WITHOUT_IT = "import sys\nsys.modules['whitenoise'] = None\n"
"""As where the extra is not installed."""


def fill(folder):
    for name in ("public", "files"):
        (folder / name).mkdir(parents=True)
    (folder / "public" / "small.txt").write_text("hello")
    (folder / "public" / "large.bin").write_bytes(LARGE)
    (folder / "files" / "large.bin").write_bytes(LARGE)


@pytest.fixture(scope="module")
def site(shared_daemon):
    fill(shared_daemon.folder)
    shared_daemon.write("app.py", APP)
    shared_daemon.site(**SITE)
    return shared_daemon.start()


@pytest.fixture
def wire(site):
    with Wire(site.connect()) as wire:
        yield wire


def test_files_and_pages_on_one_connection(wire):
    for path in ("/static/large.bin", "/file/large.bin"):
        assert wire.ask("/static/small.txt").body == b"hello"
        assert wire.ask(path).body == LARGE
        assert wire.ask(path, "HEAD").fields["content-length"] == str(len(LARGE))
        part = wire.ask(path, fields=["Range: bytes=5000000-"])
        assert (part.status, part.body) == (206, LARGE[5_000_000:])
        assert wire.ask(path, fields=["If-None-Match: *"]).status == 304
        assert wire.ask(path, "POST", body=b"x").status == (405 if "static" in path else 200)
        assert wire.ask("/static/none").body == b"app: /static/none"


def test_requests_in_a_row(wire):
    paths = ["/static/small.txt", "/file/large.bin", "/stream", "/static/large.bin", "/static/none"]
    wire.send(b"".join(map(request, paths * 3)))
    bodies = [b"hello", LARGE, b"one two", LARGE, b"app: /static/none"]
    assert [wire.answer().body for _ in range(15)] == bodies * 3


def test_other_fields_of_nginx_pass_through(wire):
    stream = wire.ask("/stream").fields
    assert (stream["x-accel-buffering"], stream["x-sendfile2"]) == ("no", "x")


def test_a_client_that_takes_its_time_holds_no_thread(site):
    """Eight of them, with four threads."""
    slow = [Wire(site.connect()) for _ in range(8)]
    for number, each in enumerate(slow):
        each.send(request("/file/large.bin" if number % 2 else "/static/large.bin"))
    assert site.get("/quick").text == "app: /quick"
    for each in slow:
        with each:
            assert each.answer().body == LARGE


def test_a_file_that_shrinks_meanwhile_breaks_the_connection(site):
    path = site.folder / "public" / "shrinks.bin"
    path.write_bytes(LARGE * 4)
    with Wire(site.connect()) as wire:
        wire.send(request("/static/shrinks.bin"))
        assert wire.sock.recv(1, socket.MSG_PEEK)
        os.truncate(path, 1000)
        with pytest.raises((ConnectionError, AssertionError)):
            wire.answer()
    assert site.get("/static/shrinks.bin").body == LARGE[:1000]


def test_what_is_not_sent_is_told_once(site):
    (site.folder / "public" / "out").symlink_to("/etc/hostname")
    mark = site.mark()
    for _ in range(3):
        assert site.get("/static/out").status == 404
        assert site.get("/file/%2e%2e/app.py").status == 500
        assert site.get("/file/none").status == 404
    static = site.wait_log("static file not sent.*", mark)[0]
    assert re.search(r"path=/static/out file=\S+/public/out .*leads out of the folder, to /etc/", static)
    assert site.wait_log(r"file not sent path=/file/\.\./app\.py field=X-Accel-Redirect.*leads upwards", mark)
    assert site.wait_log(r"file not sent path=/file/none .*there is no such file", mark)
    assert site.log[mark:].count("not sent") == 3


def test_without_sendfile_the_fields_pass_as_they_are(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=1)
    daemon.start()
    answer = daemon.get("/file/a")
    assert (answer.headers["x-accel-redirect"], answer.body) == ("/protected/a", b"dropped")


def test_a_release_sends_its_own_files(daemon):
    releases = Releases(daemon)
    for name in ("one", "two"):
        releases.make(name, RELEASED, static={"/static": "./public"}, sendfile={"/p": "./public"})
        (releases.path(name) / "public").mkdir()
        (releases.path(name) / "public" / "name.txt").write_text(name)
    releases.switch("one")
    daemon.start("-c", releases.current / "site.yaml", env=releases.environ)
    assert daemon.get("/static/name.txt").text == "one"
    releases.switch("two")
    assert daemon.get("/static/name.txt").text == "one"
    daemon.reload()
    assert daemon.get("/static/name.txt").text == "two"


def problems_of_start_and_check(daemon):
    """What both print, which end with 2."""
    for arguments in (["-c", "site.yaml"], ["check", "-c", "site.yaml"]):
        done = daemon.command(*arguments)
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
        yield done.stderr


def test_folders_that_are_none(daemon):
    daemon.write("app.py", APP)
    daemon.write("file", "")
    daemon.site(static={"/a": "./none", "/b": "./file"}, sendfile={"/c": "./nowhere"}, workers=1)
    for text in problems_of_start_and_check(daemon):
        assert f"static: /a: {daemon.folder}/none: there is no such folder: make it" in text
        assert f"static: /b: {daemon.folder}/file: it is a file, not a folder" in text
        assert f"sendfile: /c: {daemon.folder}/nowhere: there is no such folder" in text


def test_a_reload_that_names_a_missing_folder_is_refused(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=1)
    daemon.start()
    daemon.site(workers=1, static={"/a": "./none"})
    assert daemon.reload("(?s)reload refused.*there is no such folder")
    (daemon.folder / "none").mkdir()
    (daemon.folder / "none" / "x.txt").write_text("there")
    daemon.reload()
    assert daemon.get("/a/x.txt").text == "there"


def test_a_command_before_the_start_may_make_the_folder(daemon):
    daemon.write("app.py", APP)
    make = "mkdir -p built && echo new > built/x.txt"
    daemon.site(workers=1, static={"/static": "./built"}, rollout={"before": make, "confirm": "1s"})
    check = daemon.command("check", "-c", "site.yaml")
    assert (check.returncode, "unless rollout.before makes it" in check.stderr) == (0, True), check.stderr
    daemon.start()
    assert daemon.get("/static/x.txt").text == "new\n"


def test_the_extra_is_missing(daemon, monkeypatch):
    daemon.write("app.py", APP)
    daemon.write("without/sitecustomize.py", WITHOUT_IT)
    (daemon.folder / "public").mkdir()
    daemon.site(workers=1, static={"/static": "./public"})
    monkeypatch.setenv("PYTHONPATH", str(daemon.folder / "without"))
    for text in problems_of_start_and_check(daemon):
        assert "static needs whitenoise, which is not installed: python -m pip install 'superwsgi" in text


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_a_folder_that_the_sites_user_may_not_enter(daemon):
    daemon.write("app.py", APP)
    (daemon.folder / "public").mkdir(mode=0o700)
    daemon.site(workers=1, user="nobody", static={"/static": "./public"}, chdir="/")
    daemon.start(ready=False)
    assert daemon.wait_exit() == 3
    assert re.search(r"application did not load.*static: /static: .*Permission denied", daemon.log)
