"""`log.capture` of a real daemon: what its application prints, in whatever way, is in the error log."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from tests.e2e.daemon import COMMAND, FIXTURE_APPS, Daemon, wait_for, whole_lines
from tests.e2e.wire import Wire

pytestmark = pytest.mark.drill

EVERY = pytest.mark.parametrize("preload", [True, False, "auto"])


@pytest.fixture
def site(daemon):
    def begin(log=(), **keys):
        log = {"style": "json", "capture": True, "access": "off", **dict(log)}
        daemon.site(app="e2e_printing:app", chdir=str(FIXTURE_APPS), workers=1, log=log, **keys)
        return daemon.start()

    def said(stream=None):
        lines = [json.loads(line) for line in whole_lines(daemon.log)]
        found = [line for line in lines if line["event"] == "application"]
        return [line for line in found if stream in (None, line["stream"])]

    def ask(way, *texts, query=""):
        """The lines that a request has led to, and its id."""
        since = len(said())
        answer = daemon.get(f"/{way}{query}")
        assert answer.status == 200, daemon.log
        wanted = {*texts}
        wait_for(
            lambda: wanted <= {line["text"] for line in said()[since:]},
            f"{texts}",
            context=lambda: daemon.log,
        )
        return said()[since:], answer.headers["x-request-id"]

    daemon.begin, daemon.said, daemon.ask = begin, said, ask
    return daemon


def texts(lines):
    return [line["text"] for line in lines]


@EVERY
def test_python_s_streams_have_the_request_and_the_worker(site, preload):
    site.begin(preload=preload)
    (worker,) = site.workers()
    for way, stream, wanted in [
        ("kept", "stderr", ["kept since the import"]),
        ("buffer", "stdout", ["biné \\xff", "second"]),
        ("replaced", "stdout", ["it has kept by the application"]),
        ("closed", "stdout", ["still open"]),
        ("many", "stdout", [f"line {number} of me" for number in range(50)]),
    ]:
        lines, identity = site.ask(way, *wanted, query="?who=me")
        assert texts(lines) == wanted
        for line in lines:
            assert line["level"] == "info"
            assert (line["worker"], line["generation"], line["pid"]) == (1, 1, worker)
            assert (line["stream"], line["request_id"]) == (stream, identity)
    lines, identity = site.ask("errors", "to wsgi.errors")
    assert {(line["stream"], line["request_id"]) for line in lines} == {("wsgi.errors", identity)}
    assert len(lines) == 2
    lines, identity = site.ask("unfinished", "no end", "nor here")
    assert [line["request_id"] for line in lines] == [identity] * 2
    lines, _ = site.ask("thread", "from a thread")
    assert [("request_id" in line, line["worker"]) for line in lines] == [(False, 1)]
    lines, _ = site.ask("streams")
    assert texts(lines) == [
        "False 1 utf-8 <stdout> w",
        "False 2 utf-8 <stderr> w",
        "False 1 utf-8 <stdout> w",
    ]


@EVERY
def test_what_is_printed_during_the_import(site, preload):
    site.begin(preload=preload)
    assert "not preloaded" not in site.log
    (found,) = wait_for(lambda: [line for line in site.said("stdout") if "imported" in line["text"]], "it")
    assert found["text"] == "imported é and printed"
    assert ("mold" in found, "worker" in found) == ((False, True) if preload is False else (True, False))
    (found,) = [line for line in site.said("pipe") if "imported" in line["text"]]
    assert (found["text"], found["generation"]) == ("imported by descriptor", 1)


def test_what_reaches_the_descriptors_in_other_ways(site):
    site.begin()
    lines, _ = site.ask("child", "to stdout", "to stderr", "last", "by the stream")
    assert {(line["stream"], line["generation"], "request_id" in line) for line in lines} == {
        ("pipe", 1, False)
    }
    assert texts(site.ask("c", "from C")[0]) == ["from C"]
    lines, _ = site.ask("dump", "Current thread", *()) if False else (None, None)


def test_a_dump_of_the_stacks(site):
    site.begin()
    site.get("/dump")
    wait_for(lambda: any("in _dump" in line["text"] for line in site.said("pipe")), "stacks")


def test_a_child_that_the_application_forks(site):
    site.begin()
    (worker,) = site.workers()
    lines, identity = site.ask("fork", "in the child", "begun by the parent, ended by it")
    assert len(lines) == 2
    assert {line["request_id"] for line in lines} == {identity}
    child = next(line for line in lines if line["text"] == "in the child")
    assert child["child"] != worker
    assert child["pid"] == worker


def test_a_worker_that_is_killed_loses_nothing_of_what_it_has_written(site):
    site.begin()
    with Wire(site.connect()) as wire:
        wire.sock.sendall(b"GET /die HTTP/1.1\r\nHost: x\r\n\r\n")
        site.wait_log("signal 9")
    assert texts(site.said("pipe"))[1:] == ["last words"] * 1000 + ["the very last"]
    events = [json.loads(line)["event"] for line in whole_lines(site.log)]
    assert len(events) - events[::-1].index("application") <= events.index("died"), "before its end"


def test_a_fatal_error_of_the_interpreter(site):
    site.begin()
    with Wire(site.connect()) as wire:
        wire.sock.sendall(b"GET /fatal HTTP/1.1\r\nHost: x\r\n\r\n")
        site.wait_log("signal 6")
    assert any("broken by the application" in text for text in texts(site.said("pipe")))


def test_a_response_that_has_begun_and_is_then_given_up(site):
    site.begin(timeouts={"request": "1s"})
    with Wire(site.connect()) as wire:
        wire.sock.sendall(b"GET /streamed HTTP/1.1\r\nHost: x\r\n\r\n")
        site.wait_log("request stuck")
        site.get("/go")
        found = wait_for(lambda: len(site.said("stdout")) == 3 and site.said("stdout"), "its late line")
    assert texts(found)[1:] == ["response begun", "response goes on"]
    assert len({line["request_id"] for line in found[1:]}) == 1


def test_many_threads_at_once(site):
    site.begin(threads=8)
    answers = {}

    def ask(who):
        answers[who] = site.get(f"/many?who={who}").headers["x-request-id"]

    threads = [threading.Thread(target=ask, args=(who,)) for who in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for(lambda: len(site.said("stdout")) == 401, "all lines", context=lambda: site.log)
    for who, identity in answers.items():
        mine = [line["text"] for line in site.said() if line.get("request_id") == identity]
        assert mine == [f"line {number} of {who}" for number in range(50)]


def test_as_text_nothing_that_is_printed_begins_a_line(site):
    site.begin({"style": "text"})
    identity = site.get("/forged").headers["x-request-id"]

    def told():
        found = [line for line in site.log.splitlines() if f"request={identity}" in line]
        return found if sum(map(len, re.findall("x{2,}", "".join(found)))) >= 9000 else None

    lines = wait_for(told, "all of it", context=lambda: site.log)
    who = r"\S+Z info    worker=1 gen=1 pid=\d+ application stream=stdout request=\S+ "
    assert re.match(who + r'text="2026-11-22T\S+ error', lines[0])
    assert "".join(re.search(r'text="?([^"]*)', line)[1] for line in lines[1:]) == (
        "\\u001b[31m\\u0000\\\\udcff" + "x" * 9000
    )


def test_the_logs_themselves_go_to_the_real_descriptors(daemon):
    """Through pipes, which both logs are copies of; no line comes back."""
    log = {"style": "json", "capture": True, "format": "json"}
    daemon.site(app="e2e_printing:app", chdir=str(FIXTURE_APPS), workers=1, log=log, bind="unix:s.sock")
    with subprocess.Popen(
        [*COMMAND, "-c", "site.yaml"],
        cwd=daemon.folder,
        env=daemon.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        for line in process.stderr:
            if json.loads(line)["event"] == "serving":
                break
        asked = subprocess.run(
            [sys.executable, "-c", ASK, str(daemon.folder / "s.sock")], check=True, capture_output=True
        )
        assert b"said" in asked.stdout
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=60)
    assert [json.loads(line)["target"] for line in stdout.splitlines()] == ["/child"]
    said = [json.loads(line) for line in stderr.splitlines()]
    pipe = [line["text"] for line in said if line.get("stream") == "pipe"]
    assert sorted(pipe) == ["by the stream", "last", "to stderr", "to stdout"]
    assert said[-1]["event"] == "stopped"


ASK = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
sock.sendall(b"GET /child HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n")
print(sock.makefile().read())
"""


def test_a_flood_holds_up_nobody_and_is_counted(daemon):
    """20 MB through the pipe, to a log that nobody reads."""
    reading, writing = os.pipe()
    daemon.write(
        "app.py",
        """
        import subprocess

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/flood":
                subprocess.run("yes " + "y" * 500 + " | head -c 20000000 >&2", shell=True, check=True)
            start_response("200 OK", [])
            return [b"said"]
        """,
    )
    log = {"style": "json", "capture": True, "access": "off"}
    daemon.site(workers=1, log=log, bind="unix:s.sock")
    daemon.process = subprocess.Popen(
        [*COMMAND, "-c", "site.yaml"], cwd=daemon.folder, env=daemon.environ, stdout=writing, stderr=writing
    )
    os.close(writing)
    try:
        wait_for((daemon.folder / "s.sock").exists, "socket")
        for path in ("/flood", "/"):
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(60)
                sock.connect(str(daemon.folder / "s.sock"))
                assert Wire(sock).ask(path).status == 200
        assert daemon.command("status", "site").returncode == 0
    finally:
        with open(reading, "rb") as reader:
            daemon.process.send_signal(signal.SIGTERM)
            said = [json.loads(line) for line in reader]
    assert daemon.process.wait(60) == 0
    assert any(line["event"] == "error log dropped" and line["lines"] > 1000 for line in said)


def test_reload_and_upgrade_go_on_hearing(site):
    site.begin()
    site.reload()
    assert site.ask("c", "from C")[0][0]["generation"] == 2
    mark = site.mark()
    os.kill(site.pid, signal.SIGUSR2)
    site.wait_log("program replaced", since=mark)
    site.wait_log("reload complete", since=mark)
    assert site.ask("c", "from C")[0][0]["generation"] == 3
    assert site.stop() == 0


def test_a_program_that_is_left_behind_is_heard_until_it_ends(daemon):
    daemon.write(
        "app.py",
        """
        import subprocess

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/leave":
                subprocess.Popen(
                    ["sh", "-c", "while ! test -e go; do sleep 0.05; done; echo still here; echo $? > done"],
                    start_new_session=True,
                )
            start_response("200 OK", [])
            return [b"left"]
        """,
    )
    daemon.site(workers=1, log={"style": "json", "capture": True, "access": "off"}, rollout={"confirm": "0s"})
    daemon.start()
    daemon.get("/leave")
    daemon.reload()
    daemon.wait_log('"gen.*ended|generation gone|"event":"ended"')
    daemon.write("go", "")
    daemon.wait_log("still here")
    wait_for((daemon.folder / "done").exists, "its end")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has another user's processes")
def test_the_site_s_user_may_open_it_by_its_path():
    """As handlers with the file name /dev/stderr do."""
    with tempfile.TemporaryDirectory() as folder:
        daemon = Daemon(Path(folder))
        daemon.folder.chmod(0o755)
        daemon.write("app.py", OPENING)
        log = {"style": "json", "capture": True, "access": "off"}
        daemon.site(workers=1, user="nobody", log=log)
        try:
            daemon.start()
            assert daemon.get("/").status == 200
            daemon.wait_log(r'"stream":"pipe","text":"opened by [1-9]\d*"')
        finally:
            daemon.clean_up()


OPENING = """
    import os

    def app(environ, start_response):
        with open("/dev/stderr", "a") as file:
            print("opened by", os.getuid(), file=file)
        start_response("200 OK", [])
        return [b"said"]
"""
