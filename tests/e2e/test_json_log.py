"""`log.style: json` of a real daemon: each line of the error log is an object, whoever writes it."""

import json
import re
import signal

import pytest

from tests.e2e.daemon import wait_for, whole_lines

pytestmark = pytest.mark.drill

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

APP = """
    import os, time

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/fails":
            raise ValueError("caf\\u00e9 \\udcff \\x1b[31m" + "x" * 3000)
        if path == "/said":
            print("first\\n  second\\r\\n\\n\\udcff\\x00 {}" + "y" * 90_000, file=environ["wsgi.errors"])
            environ["wsgi.errors"].write("no end")
        if path == "/sleep":
            time.sleep(60)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


@pytest.fixture
def site(daemon):
    def begin(log=(), **keys):
        daemon.write("app.py", APP)
        daemon.site(workers=1, log={"style": "json", "access": "off", **dict(log)}, **keys)
        return daemon.start()

    daemon.begin = begin
    daemon.events = lambda: [json.loads(line) for line in whole_lines(daemon.log)]
    daemon.named = lambda name: [event for event in daemon.events() if event.get("event") == name]
    daemon.wait_event = lambda name: wait_for(lambda: daemon.named(name), name, context=lambda: daemon.log)
    return daemon


def test_lines_of_the_master_a_mold_and_a_worker(site):
    site.begin(warmup=["/"], rollout={"before": "echo 'one \"quoted\"'; echo two", "confirm": "1s"})
    assert site.get("/fails").status == 500
    (failed,) = site.wait_event("request failed")
    assert [*failed][:6] == ["time", "level", "event", "worker", "generation", "pid"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", failed["time"])
    assert (failed["level"], failed["worker"], failed["generation"]) == ("error", 1, 1)
    assert failed["pid"] in site.workers()
    assert failed["error"].startswith("ValueError: café \\udcff \x1b[31mxxx")
    assert (failed["method"], failed["path"]) == ("GET", "/fails")
    assert failed["traceback"].startswith("Traceback (most recent call last):\n")
    assert failed["traceback"].endswith("x")
    (before,) = site.named("rollout.before done")
    assert before["detail"] == 'one "quoted"\ntwo'
    (warmed,) = site.named("warmed up")
    assert (warmed["mold"], warmed["status"], warmed["page"]) == (site.mold(), 200, "/")
    assert site.stop() == 0
    assert site.events()[-1]["event"] == "stopped"
    assert site.events()[-1]["exit_code"] == 0


def test_what_an_application_writes_to_wsgi_errors_is_an_event_a_line(site):
    site.begin()
    identity = site.get("/said", headers={"X-Request-ID": "told-1"}).headers["x-request-id"]
    said = wait_for(
        lambda: (found := site.named("application")) and found[-1]["text"] == "no end" and found, "it"
    )
    assert [line["text"] for line in said[:3]] == ["first", "  second", ""]
    assert "".join(line["text"] for line in said[3:-1]) == "\\udcff\x00 {}" + "y" * 90_000
    assert {(line["level"], line["worker"], line["request_id"]) for line in said} == {("info", 1, identity)}


@pytest.mark.parametrize(
    ("told", "logged"), [(TRACE, TRACE), (TRACE.upper(), None), (f"{TRACE},{TRACE}", None), (None, None)]
)
def test_the_trace_of_a_request(site, told, logged):
    site.begin({"access": "-", "format": "json"})
    fields = {} if told is None else {"traceparent": told}
    for path in ("/fails", "/said"):
        site.get(path, headers=fields)
    (failed,) = site.wait_event("request failed")
    assert failed.get("traceparent") == logged
    assert site.stop() == 0
    entries = [entry for entry in map(json.loads, whole_lines(site.log)) if "target" in entry]
    assert [entry["target"] for entry in entries] == ["/fails", "/said"]
    assert {entry["traceparent"] for entry in entries} == {logged or ""}
    assert {entry["trace_id"] for entry in entries} == {logged[3:35] if logged else ""}
    said = [line for line in map(json.loads, whole_lines(site.log)) if line.get("event") == "application"]
    assert {line.get("traceparent") for line in said} == {logged}


def test_stacks_and_sudden_ends(site):
    site.begin(timeouts={"request": "1s"})
    worker = site.workers()[0]
    assert site.get("/sleep").status == 504
    (stuck,) = site.wait_event("request stuck")
    assert "time.sleep(60)" in stuck["detail"]
    site.send(signal.SIGUSR2, worker)
    wait_for(lambda: any("Current thread" in each["detail"] for each in site.named("stacks")), "stacks")
    site.send(signal.SIGSEGV, worker)
    (died,) = site.wait_event("died")
    (fatal,) = site.named("fatal error")
    assert (fatal["generation"], fatal["what"]) == (1, "Segmentation fault")
    assert "Fatal Python error: Segmentation fault" in fatal["detail"]
    assert (died["pid"], died["incident"]) == (worker, 2)


def test_a_reload_changes_the_style_of_the_master_too_once_it_is_complete(site):
    site.begin()
    mark = site.mark()
    site.site(workers=1, log={"style": "text", "access": "off"})
    site.reload()
    site.wait_log(r"\n\S+Z info    master=\d+ reload complete", since=mark)
    mark = site.mark()
    site.site(workers=1, log={"style": "json", "access": "off"}, app="nowhere:app")
    site.reload("reload failed")
    assert re.match(r"\S+Z info    master=", site.log[mark:]), "a candidate that fails changes nothing"
