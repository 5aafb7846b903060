"""Children of the application: what they inherit of ours, and what reaches us of them."""

import signal
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.e2e.daemon import Daemon, wait_for
from tests.e2e.forking import APP, begin

pytestmark = pytest.mark.drill

OURS = [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU]
OURS += [signal.SIGTERM, signal.SIGQUIT, signal.SIGALRM, signal.SIGCHLD]


def among(mask, numbers=OURS):
    """Those of the signals that are in a mask of /proc/<pid>/status."""
    return {number for number in numbers if mask >> (number - 1) & 1}


@pytest.fixture(params=["auto", False], scope="module")
def site(tmp_path_factory, request):
    """One whose workers are forked from the import, and one whose workers import; for tests that only
    look."""
    daemon = Daemon(tmp_path_factory.mktemp("site"))
    try:
        yield begin(daemon, preload=request.param)
    finally:
        daemon.clean_up()


class TestForked:
    def test_it_has_default_signals_and_nothing_of_ours_open(self, site):
        child = site.get("/fork").json()
        worker = site.get("/self").json()
        assert among(worker["SigCgt"]) >= {signal.SIGTERM, signal.SIGUSR2}
        assert among(child["SigCgt"]) == {signal.SIGINT}  # Python's own, which raises KeyboardInterrupt
        assert among(child["SigIgn"]) == set()
        assert child["SigBlk"] == 0
        # The standard ones, the error log, once more in the place of our pipe for stacks, stderr once more
        # for what is wrong with the log, and a pipe of the application's own.
        kinds = sorted(what.partition(":")[0] for what in child["fds"].values())
        assert kinds == ["/dev/null", *[str(site.log_file)] * 5, "pipe", "pipe"]
        assert "fork of" in child["title"]

    def test_what_it_is_told_to_do_does_not_reach_its_worker(self, site):
        worker = site.get("/pid").json()
        for _ in range(10):
            assert site.get("/terminate").json() == -signal.SIGTERM
        assert site.get("/pid").json() == worker
        assert "draining" not in site.log

    def test_pools_from_several_threads_at_once(self, site):
        mark = site.mark()
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: site.get("/pool", timeout=60).json(), range(50)))
        assert answers == [[0, 1, 4, 9, 16]] * 50
        assert "error" not in site.log[mark:]

    @pytest.mark.parametrize(("how", "code"), [("returns", 1), ("raises", 1), ("exits", 7)])
    def test_it_does_not_answer_in_the_place_of_its_parent(self, daemon, how, code):
        site = begin(daemon, threads=2)
        connection = site.client()
        for _ in range(5):
            connection.request("GET", f"/{how}")
            assert connection.getresponse().read() == str(code).encode()
        connection.close()
        assert site.get("/pid").status == 200
        assert site.log.count("forked child came back") == (0 if how == "exits" else 5)
        assert site.log.count("ValueError: in the child\n") == (5 if how == "raises" else 0)
        assert "request failed" not in site.log
        assert site.stop() == 0
        assert f"requests={6}" in site.log

    def test_nor_in_the_middle_of_an_answer(self, site):
        assert site.get("/streams").text == "begun, and the child ended with 1"

    def test_one_that_comes_back_from_an_import_or_a_hook_ends(self, daemon):
        hook = "\ndef after_fork():\n    os.fork()\nos.fork()\n"
        site = begin(daemon, APP + hook, hooks={"after_fork": "app:after_fork"}, workers=2)
        # One of the import and one of each hook; each worker imports if the first was still there after it.
        wait_for(
            lambda: site.log.count("forked child came back") >= 3, "three children", context=lambda: site.log
        )
        assert len(site.wait_workers(2)) == 2
        assert site.get("/pid").status == 200

    def test_it_keeps_no_client_waiting_for_the_end_of_its_connection(self, site):
        with site.connect() as early, site.connect() as late:
            early.sendall(b"GET /child HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in early.recv(4096)
            assert early.recv(4096) == b""
            late.sendall(b"GET /pid HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert b"200 OK" in late.recv(4096)
            assert late.recv(4096) == b""


class TestExecuted:
    @pytest.mark.parametrize("how", ["execute", "spawn"])
    def test_it_has_default_signals_and_nothing_of_ours(self, site, how):
        program = site.get(f"/{how}").json()
        assert among(program["SigIgn"]) == among(program["SigCgt"]) == set()
        assert program["SigBlk"] == 0
        assert sorted(program["fds"]) == ["0", "1", "2"]

    def test_it_can_be_interrupted(self, site):
        assert site.get("/interrupt").json() == 42

    def test_its_environment_has_nothing_that_is_for_the_master(self, daemon):
        daemon.write("app.py", APP)
        daemon.site(workers=1)
        ours = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "x", "WATCHDOG_USEC": "9000000"}
        ours |= {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_PID": "1", "SUPERWSGI_REHEARSAL": "1"}
        daemon.start(env=ours)
        assert not {*ours} & {*daemon.get("/environ").json()}
        mark = daemon.mark()
        daemon.send(signal.SIGUSR2)
        daemon.wait_log("program replaced", since=mark)
        daemon.wait_log("reload complete", since=mark)
        environ = daemon.get("/environ").json()
        assert not {*ours, "SUPERWSGI_HANDOVER"} & {*environ}


class TestSignalsOfTheApplication:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
    def test_what_it_ignores_its_programs_ignore(self, daemon, number):
        """As they would without us."""
        site = begin(daemon, f"import signal\nsignal.signal({number:d}, signal.SIG_IGN)\n" + APP)
        assert among(site.get("/execute").json()["SigIgn"]) == {number}

    def test_a_handler_of_its_own_is_called(self, daemon):
        own = "import signal\nsignal.signal(signal.SIGUSR1, lambda *_: open('called', 'w').close())\n"
        site = begin(daemon, own + APP)
        site.send(signal.SIGUSR1, site.get("/pid").json())
        wait_for((site.folder / "called").exists, "a call")
        assert site.get("/pid").status == 200

    @pytest.mark.parametrize("preload", ["auto", True, False])
    @pytest.mark.parametrize("does", ["ignores", "collects"])
    def test_what_it_does_about_sigchld_is_no_trouble_of_ours(self, daemon, preload, does):
        site = begin(daemon, SIGCHLD[does] + APP, preload=preload, workers=2)
        site.send(signal.SIGKILL, site.wait_workers(2)[0])
        site.wait_log("died how=.*next=.replaced")
        wait_for(lambda: site.log.count(" serving ") == 3, "another worker", context=lambda: site.log)
        assert "collected nothing" not in site.log
        assert site.get("/pid").status == 200

    def test_that_it_is_a_child_subreaper_keeps_no_worker_from_the_master(self, daemon):
        site = begin(daemon, "import ctypes\nctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n" + APP, workers=2)
        assert "not preloaded" not in site.log
        assert site.get("/pid").json() in site.wait_workers(2)

    @pytest.mark.parametrize("preload", ["auto", False])
    def test_what_it_blocks_we_hear_nevertheless(self, daemon, preload):
        blocks = "import signal\nsignal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        site = begin(daemon, blocks + APP, preload=preload)
        worker = site.get("/pid").json()
        site.wait_log("GET /pid")  # and rests: stacks of what runs are read while they change
        mark = site.mark()
        site.send(signal.SIGUSR2, worker)
        site.wait_log("most recent call first", since=mark)
        site.send(signal.SIGTERM, worker)
        site.wait_log(f'pid={worker} died how="exit code 0"', since=mark)


SIGCHLD = {
    "ignores": "import signal\nsignal.signal(signal.SIGCHLD, signal.SIG_IGN)\n",
    "collects": """
import os, signal
def collect(number, frame):
    try:
        os.waitpid(-1, os.WNOHANG)
    except ChildProcessError:
        print("collected nothing", flush=True)
        raise
signal.signal(signal.SIGCHLD, collect)
""",
}

STARTER = """
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
for number in (signal.SIGCHLD, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
os.execv(sys.executable, [sys.executable, "-m", "superwsgi", "-c", "site.yaml"])
"""


def test_started_with_signals_blocked_and_ignored_a_site_hears_them(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=1)
    daemon.spawn([sys.executable, "-c", STARTER])
    mark = daemon.mark()
    daemon.send(signal.SIGKILL, daemon.get("/pid").json())
    daemon.wait_log("died how=", since=mark)
    daemon.wait_log("serving", since=mark)
    assert daemon.reload()
    assert daemon.get("/execute").json()["SigBlk"] == 0
    assert daemon.stop() == 0
