"""Whatever happens to the master, it goes on."""

import contextlib
import resource
import shutil
import signal
import socket

import psutil
import pytest

from tests.e2e.daemon import DEADLINE, read_all, wait_for

pytestmark = pytest.mark.drill

HELLO = """
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""
HOOK = """
    import os, sys
    def note(event, arguments):
        if event == "import":
            with open(os.environ["NOTED"], "a") as file:
                file.write(f"{os.getpid()} {arguments[0]}\\n")
    sys.addaudithook(note)
"""


@pytest.fixture
def site(daemon):
    daemon.write("app.py", HELLO)
    return daemon


def imported_by(pid, noted):
    return [line.split()[1] for line in noted.read_text().splitlines() if int(line.split()[0]) == pid]


def test_the_master_imports_nothing_once_it_serves(site):
    """The packages, and Python itself, may be replaced meanwhile."""
    noted = site.folder / "noted"
    site.write("hook/sitecustomize.py", HOOK)
    more = {"workers": 2, "memory": {"soft": "1G"}, "pidfile": "pid", "log": {"error": "error.log"}}
    site.site(**more)
    site.log_file = site.folder / "error.log"
    site.start(env={"PYTHONPATH": str(site.folder / "hook"), "NOTED": str(noted)})
    before = len(imported_by(site.pid, noted))
    assert before
    site.site(bind="localhost:0", **more)
    site.command("status", "-c", "site.yaml")
    site.reload()
    site.write("app.py", "import missing\n")
    site.reload("reload failed")
    site.write("site.yaml", "nonsense: [\n")
    site.reload("reload refused")
    mark = site.mark()
    site.send(signal.SIGKILL, site.workers()[0])
    site.wait_log("serving", since=mark)
    site.send(signal.SIGUSR1)
    site.wait_log("log files reopened", since=mark)
    assert imported_by(site.pid, noted)[before:] == []
    assert site.stop() == 0
    assert imported_by(site.pid, noted)[before:] == []


def test_without_a_descriptor_left(site):
    """Memory cannot be looked at, nothing can be accepted, forked or opened: until there are some again."""
    site.site(workers=2, memory={"soft": "1G"}, monitor={"interval": "100ms"})
    site.start()
    master = psutil.Process(site.pid)
    soft, hard = master.rlimit(resource.RLIMIT_NOFILE)
    master.rlimit(resource.RLIMIT_NOFILE, (master.num_fds(), hard))
    try:
        site.reload("reload refused")
        site.send(signal.SIGKILL, site.workers()[0])
        site.wait_log("not forked")
        assert site.get().text == "hello"
    finally:
        master.rlimit(resource.RLIMIT_NOFILE, (soft, hard))
    site.wait_workers(2)
    site.reload()
    wait_for(lambda: "healthy" in site.command("status", "-c", "site.yaml").stdout, "status")
    assert site.stop() == 0


class TestAProcessThatASignalHasStopped:
    def test_a_worker_and_a_mold_are_replaced(self, site):
        """Each waits for its own end, so both are stopped at once."""
        site.site(workers=1)
        site.start()
        mark = site.mark()
        for process in (*site.workers(), site.mold()):
            site.send(signal.SIGSTOP, process)
        site.wait_log("killed reason=.stopped by a signal", since=mark)
        site.wait_log("(?s)mold lost .*stopped by a signal.*mold ready", since=mark)
        site.wait_log(" serving ", since=mark)
        assert site.get().text == "hello"

    def test_a_worker_that_drains_is_ended(self, site):
        site.write(
            "app.py", HELLO.replace("start_response(", "import time; time.sleep(30); start_response(", 1)
        )
        site.site(workers=1)
        site.start()
        (worker,) = site.workers()
        with contextlib.closing(site.client()) as client:
            client.request("GET", "/")
            wait_for(lambda: '"in_flight":1' in site.command("status", "-c", "site.yaml", "--json").stdout)
            site.send(signal.SIGSTOP, worker)
            mark = site.mark()
            assert site.stop() == 0
        assert 'killed reason="stopped by a signal' in site.log[mark:]

    def test_a_mold_of_a_candidate_fails_the_reload(self, site):
        site.site(workers=1)
        site.start()
        site.write("app.py", "import time\ntime.sleep(60)\n")
        mark = site.mark()
        site.send(signal.SIGHUP)
        site.wait_log("reload begun", since=mark)
        mold = wait_for(lambda: [p.pid for p in site.children() if "mold 2" in " ".join(p.cmdline())])[0]
        site.send(signal.SIGSTOP, mold)
        site.wait_log("reload failed .*stopped by a signal", since=mark)

    def test_one_that_goes_on_in_time_stays(self, site):
        site.site(workers=1)
        site.start()
        (worker,) = site.workers()
        for _ in range(3):
            site.send(signal.SIGSTOP, worker)
            wait_for(lambda: psutil.Process(worker).status() == psutil.STATUS_STOPPED)
            site.send(signal.SIGCONT, worker)
        assert site.get().text == "hello"
        assert site.workers() == [worker]


def test_a_run_folder_that_was_removed_is_filled_again_by_a_reload(site):
    run = site.folder / "run"
    run.mkdir()
    site.site(workers=1, bind="unix:run/sock", pidfile="run/pid", control="run/control")
    site.start()
    shutil.rmtree(run.rename(site.folder / "removed"))  # at once: a look may fill it again
    run.mkdir()
    site.reload()
    assert (run / "pid").read_text() == f"{site.pid}\n"
    assert {path.name for path in run.iterdir()} == {"pid", "sock", "control"}
    assert site.stop() == 0
    assert list(run.iterdir()) == []


CLOSES = """
    import os, socket
    def listens(fd):
        with socket.socket(fileno=os.dup(fd)) as sock:
            return bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
    def polls(fd):
        return "eventpoll" in os.readlink(f"/proc/self/fd/{fd}")
    def close(is_it):
        for fd in map(int, os.listdir("/proc/self/fd")):
            try:
                found = is_it(fd)
            except OSError:
                continue
            if found:
                os.close(fd)
    def app(environ, start_response):
        close({"/listener": listens, "/epoll": polls}.get(environ["PATH_INFO"], lambda fd: False))
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


@pytest.mark.parametrize("which", ["listener", "epoll"])
def test_a_worker_whose_descriptors_the_application_has_closed_is_replaced(site, which):
    site.write("app.py", CLOSES)
    site.site(workers=1)
    site.start()
    (worker,) = site.workers()
    mark = site.mark()
    assert site.get(f"/{which}").text == "hello"
    with site.connect():
        site.wait_log(f"pid={worker} worker broken reason=.its {which}.* is gone", since=mark)
    site.wait_log("serving", since=mark)
    assert site.get().text == "hello"
    assert site.log[mark:].count("broken") == 1


SPOILS = """
    import os, socket
    def listeners():
        for fd in map(int, os.listdir("/proc/self/fd")):
            try:
                sock = socket.socket(fileno=os.dup(fd))
            except OSError:
                continue
            with sock:
                if sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                    yield sock
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/shutdown":
            for sock in listeners():
                sock.shutdown(socket.SHUT_RDWR)
        if environ["PATH_INFO"] == "/unix":
            for sock in listeners():
                if sock.family == socket.AF_UNIX:
                    sock.shutdown(socket.SHUT_RD)
        if environ["PATH_INFO"] == "/block":
            for sock in listeners():
                sock.setblocking(True)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
"""


def over(site, path):
    """The body that comes over a unix socket, None where nobody answers."""
    with socket.socket(socket.AF_UNIX) as sock, contextlib.suppress(OSError):
        sock.settimeout(DEADLINE)
        sock.connect(str(site.folder / "x.sock"))
        sock.sendall(f"GET {path} HTTP/1.0\r\nHost: x\r\n\r\n".encode())
        return read_all(sock).partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "import per worker"])
def test_a_unix_listener_that_the_application_has_shut_down_is_bound_anew(site, preload):
    """What comes over the others goes on meanwhile."""
    site.write("app.py", SPOILS)
    site.site(
        workers=2, preload=preload, bind=["127.0.0.1:0", "unix:x.sock"], app=None, apps={"/": "app:app"}
    )
    site.start()
    before = site.workers()
    for _ in range(2):
        mark = site.mark()
        assert over(site, "/unix") == b"hello"
        site.wait_log("listener broken address=unix:.*reason=.shut down by the application", since=mark)
        site.wait_log("(?s)ended reason=.its listener: shut down.*ended reason=.its listener", since=mark)
        assert wait_for(lambda: over(site, "/"), "an answer", context=lambda: site.log) == b"hello"
        assert site.get().text == "hello"
    assert not {*before} & {*site.workers()}
    assert "worker broken" not in site.log
    assert site.stop() == 0
    assert not (site.folder / "x.sock").exists()


@pytest.mark.parametrize(("path", "done"), [("/shutdown", "shut down"), ("/block", "made blocking")])
def test_a_listener_that_the_application_has_spoiled_is_mended(site, path, done):
    site.write("app.py", SPOILS)
    site.site(workers=2)
    site.start()
    mark = site.mark()
    with contextlib.suppress(OSError):  # the worker may end before it has answered
        site.get(path)
    site.wait_log(f"listener broken .*reason=.{done} by the application", since=mark)

    def served():
        with contextlib.suppress(OSError):
            return site.get().text == "hello"

    wait_for(served, "an answer", context=lambda: site.log)
    assert site.stop() == 0
