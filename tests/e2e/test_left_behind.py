"""What the application has started, when its worker ends: nothing of ours stays open, and nothing stays
behind."""

import contextlib
import json
import re
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.forking import APP, alive, begin, gone

pytestmark = pytest.mark.drill


class TestDescriptors:
    """Numbers and kinds are the same set, whatever the site has been through."""

    def test_of_every_process(self, daemon):
        site = begin(daemon, workers=2, log={"access": "access.log", "error": daemon.log_file.name})
        before = settled(site)
        site.reload()
        wait_for(lambda: settled(site) == before, "the same descriptors after a reload")
        mark = site.mark()
        site.send(signal.SIGUSR2)
        site.wait_log("reload complete", since=mark)
        wait_for(lambda: settled(site) == before, "the same descriptors after an upgrade")
        (site.folder / "access.log").rename(site.folder / "access.1")
        site.send(signal.SIGUSR1)
        wait_for(lambda: settled(site) == before, "the same descriptors")  # workers are told of new logs
        assert sorted(site.get("/spawn").json()["fds"]) == ["0", "1", "2"]
        assert sorted(site.get("/execute").json()["fds"]) == ["0", "1", "2"]


def settled(site):
    """What every process has open, once there are one mold and two workers: kinds, by what the process is.
    Twice the same, since what is open for a moment counts, too."""
    last = [None]

    def found():
        processes = [psutil.Process(site.pid), *site.children()]
        now = sorted(json.dumps(opened(process)) for process in processes) if len(processes) == 4 else None
        last.append(now)
        return now if now == last[-2] else None

    return wait_for(found, "one mold and two workers", context=lambda: site.log)


def opened(process):
    title = " ".join(process.cmdline()).partition("superwsgi: ")[2].split()
    kinds = []
    for link in Path(f"/proc/{process.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            what = re.sub(r"\d+", "", str(link.readlink()))
            kinds.append((int(link.name) if int(link.name) < 3 else None, what))
    return title[:1], sorted(kinds, key=str)


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
        check_order(site)

    def test_what_does_not_end_is_cut_short_and_named(self, daemon):
        stuck = "\nthreading.Thread(target=threading.Event().wait, name='stuck').start()\n"
        site = begin(daemon, APP + ORDER + stuck, preload=False, timeouts={"graceful": "3s", "linger": "0s"})
        site.get("/pid")
        assert site.stop() == 0
        assert re.search("end cut short waited_for=.thread 'stuck'. reason=timeouts.graceful", site.log)
        check_order(site)
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


def check_order(site):
    *threads, last = (site.folder / "order").read_text().split()
    assert ({*threads}, last) == ({"pool", "thread"}, "exit")


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
