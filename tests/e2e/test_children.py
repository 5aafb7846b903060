"""Children of the application: what they inherit of ours, and what reaches us of them."""

import json
import re
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for

APP = (FIXTURE_APPS / "e2e_children.py").read_text()

OURS = [signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU]
OURS += [signal.SIGTERM, signal.SIGQUIT, signal.SIGALRM, signal.SIGCHLD]


def among(mask, numbers=OURS):
    """Those of the signals that are in a mask of /proc/<pid>/status."""
    return {number for number in numbers if mask >> (number - 1) & 1}


def begin(daemon, app=APP, **keys):
    daemon.write("app.py", app)
    daemon.site(**{"workers": 1, **keys})
    daemon.start()
    return daemon


@pytest.fixture(params=["auto", False])
def site(daemon, request):
    """One whose workers are forked from the import, and one whose workers import."""
    return begin(daemon, preload=request.param)


class TestForked:
    def test_it_has_default_signals_and_nothing_of_ours_open(self, site):
        child = site.get("/fork").json()
        worker = site.get("/self").json()
        assert among(worker["SigCgt"]) >= {signal.SIGTERM, signal.SIGUSR2}
        assert among(child["SigCgt"]) == {signal.SIGINT}  # Python's own, which raises KeyboardInterrupt
        assert among(child["SigIgn"]) == set()
        assert child["SigBlk"] == 0
        # The standard ones, the error log, once more in the place of our pipe for stacks, and a pipe of the
        # application's own.
        kinds = sorted(what.partition(":")[0] for what in child["fds"].values())
        assert kinds == ["/dev/null", *[str(site.log_file)] * 4, "pipe", "pipe"]
        assert "fork of" in child["title"]

    def test_what_it_is_told_to_do_does_not_reach_its_worker(self, site):
        worker = site.get("/pid").json()
        for _ in range(10):
            assert site.get("/terminate").json() == -signal.SIGTERM
        assert site.get("/pid").json() == worker
        assert "draining" not in site.log

    def test_pools_from_several_threads_at_once(self, daemon):
        site = begin(daemon)
        with ThreadPoolExecutor(8) as clients:
            answers = list(clients.map(lambda _: site.get("/pool", timeout=60).json(), range(100)))
        assert answers == [[0, 1, 4, 9, 16]] * 100
        assert "error" not in site.log

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

    def test_nor_in_the_middle_of_an_answer(self, daemon):
        assert begin(daemon).get("/streams").text == "begun, and the child ended with 1"

    def test_one_that_comes_back_from_an_import_or_a_hook_ends(self, daemon):
        hook = "\ndef after_fork():\n    os.fork()\nos.fork()\n"
        site = begin(daemon, APP + hook, hooks={"after_fork": "app:after_fork"}, workers=2)
        wait_for(
            lambda: site.log.count("forked child came back") == 3, "three children", context=lambda: site.log
        )
        assert len(site.wait_workers(2)) == 2
        assert site.get("/pid").status == 200

    def test_it_keeps_no_client_waiting_for_the_end_of_its_connection(self, daemon):
        site = begin(daemon)
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


class TestDescriptors:
    """Numbers and kinds are the same set, whatever the site has been through."""

    def test_of_every_process(self, daemon):
        site = begin(daemon, workers=2, log={"access": "access.log", "error": daemon.log_file.name})
        before = settled(site)
        site.reload()
        assert settled(site) == before
        mark = site.mark()
        site.send(signal.SIGUSR2)
        site.wait_log("reload complete", since=mark)
        assert settled(site) == before
        (site.folder / "access.log").rename(site.folder / "access.1")
        site.send(signal.SIGUSR1)
        wait_for(lambda: settled(site) == before, "the same descriptors")  # workers are told of new logs
        assert sorted(site.get("/spawn").json()["fds"]) == ["0", "1", "2"]
        assert sorted(site.get("/execute").json()["fds"]) == ["0", "1", "2"]


def settled(site):
    """What every process has open, once there are one mold and two workers: kinds, by what the process is."""

    def found():
        processes = [psutil.Process(site.pid), *site.children()]
        if len(processes) != 4:
            return None
        return sorted(json.dumps(opened(process)) for process in processes)

    return wait_for(found, "one mold and two workers", context=lambda: site.log)


def opened(process):
    title = " ".join(process.cmdline()).partition("superwsgi: ")[2].split()
    kinds = []
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        what = re.sub(r"\d+", "", str(link.readlink()))
        kinds.append((int(link.name) if int(link.name) < 3 else None, what))
    return title[:1], sorted(kinds, key=str)


def gone(*pids):
    return lambda: not any(alive(pid) for pid in pids)


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def family(site):
    """The process ids of all that a few requests start."""
    pool, others, deaf = (site.get(f"/{path}").json() for path in ("executor", "daemons", "deaf"))
    return [*pool, *others, *deaf]


class TestLeftBehind:
    def test_what_a_killed_worker_has_forked_is_ended(self, daemon):
        site = begin(daemon)
        left = family(site)
        site.send(signal.SIGKILL, site.get("/pid").json())
        wait_for(gone(*left), "end of all", context=lambda: site.log)
        site.wait_log("left behind pid=.*next=ended")
        assert site.stop() == 0

    def test_nothing_stays_after_reloads_a_kill_and_a_stop(self, daemon):
        site = begin(daemon, workers=2, timeouts={"graceful": "2s", "linger": "0s"})
        left = family(site)
        for _ in range(2):
            site.reload()
            left += family(site)
        site.send(signal.SIGKILL, site.get("/pid").json())
        left += family(site)
        assert site.stop() == 0
        wait_for(gone(*left), "end of all")

    def test_a_program_is_left_alone_and_named_once(self, daemon):
        site = begin(daemon)
        program = site.get("/program").json()
        try:
            site.send(signal.SIGKILL, site.get("/pid").json())
            site.wait_log(f'program left running pid={program} program=sleep next="left alone"')
            mark = site.mark()
            site.send(signal.SIGKILL, site.workers()[0])
            site.wait_log(" serving ", since=mark)
            assert site.stop() == 0
            assert site.log.count("program left running") == 1
            assert alive(program)
        finally:
            psutil.Process(program).kill()

    def test_what_the_import_has_forked_stays_as_long_as_its_workers(self, daemon):
        helper = "\nHELPER = started(daemon=True)\nWORK['helper'] = lambda: HELPER\n"
        site = begin(daemon, APP + helper, preload=True, workers=2)
        helper = site.get("/helper").json()
        mark = site.mark()
        site.send(signal.SIGKILL, site.mold())
        site.wait_log("mold ready", since=mark)
        assert alive(helper)
        mark = site.mark()
        site.send(signal.SIGTERM, site.get("/pid").json())
        site.wait_log(" serving ", since=mark)
        assert alive(helper)
        assert site.stop() == 0
        wait_for(gone(helper), "end of the helper")

    def test_where_the_master_was_killed_too(self, daemon):
        site = begin(daemon, timeouts={"graceful": "2s", "linger": "0s"})
        workers = site.workers()
        left = family(site)
        site.send(signal.SIGKILL)
        site.wait_exit()
        wait_for(gone(*left, *workers), "end of all", context=lambda: site.log)


class TestTheEndOfAWorker:
    """As the interpreter's own."""

    def test_pools_and_daemons_end_with_it(self, daemon):
        site = begin(daemon)
        left = [*site.get("/executor").json(), *site.get("/daemons").json()]
        worker = site.get("/pid").json()
        assert site.stop() == 0
        assert f'pid={worker} ended reason=SIGTERM how="exit code 0"' in site.log
        assert "left behind" not in site.log
        assert gone(*left)()

    def test_threads_then_exit_functions(self, daemon):
        site = begin(daemon, APP + ORDER)
        site.get("/pid")
        assert site.stop() == 0
        assert (site.folder / "order").read_text().split() == ["pool", "thread", "exit"]

    def test_what_does_not_end_is_cut_short_and_named(self, daemon):
        stuck = "\nthreading.Thread(target=threading.Event().wait, name='stuck').start()\n"
        site = begin(daemon, APP + ORDER + stuck, preload=False, timeouts={"graceful": "3s", "linger": "0s"})
        site.get("/pid")
        assert site.stop() == 0
        assert re.search("end cut short waited_for=.thread 'stuck'. reason=timeouts.graceful", site.log)
        assert (site.folder / "order").read_text().split() == ["pool", "thread", "exit"]
        assert 'how="exit code 0"' in site.log
        assert "TimeUp" not in site.log

    def test_an_exit_function_that_hangs_keeps_no_other_from_running(self, daemon):
        hangs = "\nimport atexit, time\natexit.register(open, 'ran', 'w')\natexit.register(time.sleep, 600)\n"
        site = begin(daemon, APP + hangs, timeouts={"graceful": "1s", "linger": "0s"})
        assert site.stop() == 0
        assert "end cut short" in site.log
        assert (site.folder / "ran").exists()
        assert "TimeUp" not in site.log

    @pytest.mark.parametrize("stderr", ["None", "io.StringIO()", "sys.stderr.close()"])
    def test_whatever_stands_in_the_place_of_standard_error(self, daemon, stderr):
        instead = f"\nimport atexit, io, sys\natexit.register(open, 'ran', 'w')\nsys.stderr = {stderr}\n"
        site = begin(daemon, APP + instead)
        assert site.stop() == 0
        assert 'how="exit code 0"' in site.log
        assert (site.folder / "ran").exists()

    def test_a_fast_stop_waits_for_nobody(self, daemon):
        slow = "\nimport threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n"
        site = begin(daemon, APP + slow, preload=False)
        assert site.stop(signal.SIGQUIT) == 0
        assert "cut short" not in site.log
        assert "killed" not in site.log


ORDER = """
import atexit, threading, time
from concurrent.futures import ThreadPoolExecutor

def note(what, after=0):
    time.sleep(after)
    with open("order", "a") as file:
        file.write(what + " ")

def begin():
    ThreadPoolExecutor(1).submit(note, "pool", 0.3)
    atexit.register(note, "exit")
    threading.Thread(target=note, args=("thread", 0.6)).start()

def answering(environ, start_response, answer=app):
    if "begun" not in globals():
        globals()["begun"] = begin() or True
    return answer(environ, start_response)

app = answering
"""


SCRIPT = """
if __name__ == "__main__":
    import threading
    import superwsgi

    def terminate(times=10):
        for _ in range(times):
            terminated()
        open("done", "w").close()

    threading.Timer(1, terminate).start()
    superwsgi.run(app, "127.0.0.1", 0)
"""


def test_a_script_that_forks_beside_its_site(daemon):
    """Its process is the master."""
    daemon.write("script.py", APP + SCRIPT)
    daemon.spawn([sys.executable, "-W", "ignore", "script.py"])
    assert daemon.get("/pool").json() == [0, 1, 4, 9, 16]
    pool = daemon.get("/executor").json()
    wait_for((daemon.folder / "done").exists, "the script's children")
    assert "stopping" not in daemon.log
    daemon.send(signal.SIGKILL, daemon.get("/pid").json())
    wait_for(gone(*pool), "end of the pool", context=lambda: daemon.log)
    assert daemon.stop() == 0
