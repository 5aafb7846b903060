"""Start, stop, crash and scale: real processes and signals."""

import re
import signal
import sys
from pathlib import Path
from textwrap import dedent

import psutil
import pytest

from tests.e2e.daemon import IN_ALL_MODELS, dying, wait_for

APP = """
    import os, signal, time
    VERSION = "one"

    def app(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/exit":
            os._exit(7)
        if path == "/crash":
            signal.raise_signal(signal.SIGSEGV)
        if path == "/sleep":
            open("busy", "w").close()
            time.sleep(1)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{VERSION} {os.getpid()}".encode()]
"""


@pytest.fixture
def site(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=2)
    return daemon


def test_serves_and_stops_as_asked(site):
    site.start()
    answer = site.get()
    assert (answer.status, answer.text.split()[0]) == (200, "one")
    workers = site.wait_workers(2)
    assert site.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in workers)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGQUIT])
def test_stops_at_once(site, number):
    site.start()
    assert site.stop(number) == 0


def test_titles_name_every_process(site):
    site.start()
    site.wait_workers(2)
    titles = {" ".join(p.cmdline()).strip() for p in [psutil.Process(site.pid), *site.children()]}
    assert titles == {
        "superwsgi: master [site]",
        "superwsgi: mold 1 [site]",
        "superwsgi: worker 1 gen 1 [site]",
        "superwsgi: worker 2 gen 1 [site]",
    }


def test_workers_are_the_masters_own_children(site):
    site.start()
    assert {psutil.Process(pid).ppid() for pid in site.wait_workers(2)} == {site.pid}


@IN_ALL_MODELS
def test_a_graceful_stop_answers_what_is_in_hand(site):
    site.start()
    with site.connect() as slow:
        slow.sendall(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_busy(site)
        site.send(signal.SIGTERM)
        site.wait_log("stopping")
        assert slow.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert site.wait_exit() == 0
    assert site.log.endswith("stopped exit_code=0\n")


def wait_busy(site):
    """Until a request is in the application's /sleep."""
    wait_for((site.folder / "busy").exists, "request in the application", context=lambda: site.log)


@pytest.mark.parametrize(("path", "words"), [("/exit", "exit code 7"), ("/crash", r"signal 11 \(SIGSEGV\)")])
def test_a_crash_is_explained_and_the_worker_replaced(site, path, words):
    site.start()
    before = site.wait_workers(2)
    assert site.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode()) == b""
    site.wait_log(rf'died how="{words}".*in_hand="GET {path}')
    wait_for(lambda: len(set(site.workers()) - set(before)) == 1, "replacement")
    assert site.get().status == 200


@IN_ALL_MODELS
def test_a_killed_worker_is_replaced_within_a_second_five_times(site):
    site.start()
    for _ in range(5):
        before = site.wait_workers(2)
        mark = site.mark()
        site.send(signal.SIGKILL, before[0])
        said = site.wait_log(rf"pid={before[0]} died .* next=(.*)", since=mark)
        assert not re.search(r" in \d+(\.\d+)?s", said[1]), "at once or after some milliseconds"
        site.wait_log(r"serving", since=mark)
        assert set(site.wait_workers(2)) & {before[1]}, "the other one is left alone"


def test_a_worker_that_dies_at_each_start_is_backed_off_and_said_so(site):
    site.write("app.py", dying(1))
    site.start(ready=False)
    site.wait_log("crash-loop")
    site.wait_log(r"next=.replaced in 800ms")
    assert site.log.count("died") < 20
    assert site.stop() == 0


def test_one_worker_more_and_one_less(site):
    site.start()
    site.wait_workers(2)
    site.send(signal.SIGTTIN)
    site.wait_workers(3)
    site.send(signal.SIGTTOU)
    site.wait_workers(2)
    for _ in range(4):  # never below one
        site.send(signal.SIGTTOU)
    site.wait_workers(1)
    assert site.get().status == 200


def test_the_master_survives_the_mold(site):
    site.start()
    mold = site.mold()
    mark = site.mark()
    site.send(signal.SIGKILL, mold)
    site.wait_log("mold lost", since=mark)
    site.wait_log("mold ready", since=mark)
    before = site.wait_workers(2)
    site.send(signal.SIGKILL, before[0])
    wait_for(lambda: set(site.wait_workers(2)) != set(before), "replacement from the new mold")
    assert site.get().status == 200


def test_orphans_end_when_the_master_is_killed_and_the_site_can_start_again(site):
    site.start()
    host, port = site.address
    workers = site.wait_workers(2)
    site.send(signal.SIGKILL)
    site.wait_exit()
    site.site(workers=2, bind=f"{host}:{port}")
    mark = site.mark()
    site.start(ready=False)
    site.wait_log("serving", since=mark)
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in workers), "end of the orphans")
    assert site.get().status == 200
    assert "master vanished" in site.log


def test_ctrl_c_reaches_only_the_master(site):
    """A terminal sends INT to the whole group; workers and mold leave the decision to the master."""
    site.start()
    workers = site.wait_workers(2)
    for child in site.children():
        site.send(signal.SIGINT, child.pid)
        site.send(signal.SIGHUP, child.pid)
    assert site.get().status == 200
    assert site.wait_workers(2) == workers


@IN_ALL_MODELS
def test_a_worker_told_to_terminate_is_replaced(site):
    site.start()
    before = site.wait_workers(2)
    site.send(signal.SIGTERM, before[0])
    wait_for(lambda: before[0] not in site.workers() and len(site.workers()) == 2, "replacement")
    assert site.get().status == 200


def test_threads_that_the_application_leaves_in_the_mold_hold_nothing_up(site):
    site.write(
        "app.py", "import threading\nthreading.Thread(target=threading.Event().wait).start()\n" + dedent(APP)
    )
    site.site(workers=1, preload=True)
    site.start()
    assert site.stop() == 0


def test_a_mold_that_does_not_listen_is_killed(site):
    site.start()
    mold = site.mold()
    site.send(signal.SIGSTOP, mold)
    assert site.stop() == 0


@pytest.mark.parametrize(("preload", "processes"), [(False, 3), (True, 1)])
def test_a_master_that_is_killed_takes_what_still_imports_with_it(site, preload, processes):
    site.write("app.py", "import time\ntime.sleep(600)\n")
    site.site(workers=2, preload=preload)
    site.start(ready=False)
    family = wait_for(lambda: c if len(c := site.children()) == processes else None, "importing processes")
    site.send(signal.SIGKILL)
    site.wait_exit()
    wait_for(lambda: not any(map(_alive, family)), "end of the family")


def _alive(process):
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@IN_ALL_MODELS
def test_a_worker_that_just_began_to_serve_drains_like_any_other(site):
    """TERM comes before the master has read that it serves."""
    site.start(ready=False)
    with site.connect() as slow:
        slow.sendall(b"GET /sleep HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_busy(site)
        site.send(signal.SIGTERM)
        assert slow.recv(65536).startswith(b"HTTP/1.1 200 OK")
    assert site.wait_exit() == 0


def test_words_that_are_not_the_mold_s_do_no_harm(site):
    site.write("app.py", "import os\nos.write(3, b'hello')\n" + dedent(APP))
    site.site(workers=2, preload=True)
    site.start()
    site.wait_log("not one of our messages")
    assert site.get().status == 200


def test_closed_standard_descriptors(site):
    site.site(workers=1, log={"error": "error.log", "access": "access.log"}, bind="unix:x.sock")
    site.spawn(["sh", "-c", f"exec {sys.executable} -m superwsgi -c site.yaml <&- >&- 2>&-"], ready=False)
    error_log = site.folder / "error.log"
    wait_for(lambda: error_log.exists() and "serving" in error_log.read_text(), "start")
    for process in [psutil.Process(site.pid), *site.children()]:
        for fd in range(3):
            assert str(Path(f"/proc/{process.pid}/fd/{fd}").readlink()) == "/dev/null"


@IN_ALL_MODELS
def test_a_worker_in_which_something_holds_the_gil_is_replaced(site):
    """ctypes.PyDLL does not give the GIL back while it calls."""
    site.write("app.py", HOLDS)
    site.site(workers=1, timeouts={"request": "1s"}, monitor={"interval": "100ms"})
    site.start()
    (before,) = site.wait_workers(1)
    assert site.raw(b"GET /hold HTTP/1.1\r\nHost: x\r\n\r\n") == b""
    site.wait_log(rf"error .*pid={before} hangs reason=.no heartbeat for 3")
    site.wait_log(r'File ".*app\.py", line 7 in app')
    site.wait_log(rf'warning .*pid={before} ended reason="no heartbeat .* in_hand="GET /hold ')
    wait_for(lambda: before not in site.workers() and len(site.workers()) == 1, "replacement")
    assert site.get().status == 200


def test_a_worker_that_computes_is_not_taken_for_one_that_hangs(site):
    """Python code gives the GIL back; it gets 504, its worker goes on."""
    site.write("app.py", HOLDS)
    site.site(workers=1, timeouts={"request": "6s"}, monitor={"interval": "100ms"})
    site.start()
    (before,) = site.wait_workers(1)
    assert site.get("/compute").status == 200
    assert site.workers() == [before]
    assert "hangs" not in site.log


HOLDS = """
    import ctypes, time
    libc = ctypes.PyDLL(None)
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/hold":
            start_response("200 OK", [])
            while libc.sleep(60):  # a signal ends it
                pass
        if environ["PATH_INFO"] == "/compute":
            end = time.monotonic() + 4.5
            while time.monotonic() < end:
                pass
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]
"""
