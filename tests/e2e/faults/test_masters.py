"""The master and what an operator has of it: killed, flooded, without folder, reader or the right time."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time

import psutil
import pytest

from tests.e2e.daemon import is_alive, wait_for
from tests.e2e.faults.drill import AGAIN, CLIENTS
from tests.e2e.load import Load
from tests.tools import needed

pytestmark = pytest.mark.drill

DAY = 86400


@pytest.fixture
def site(drill):
    return drill.begin()


def test_the_master_is_killed(drill):
    """Its workers answer what they have in hand, and end; nobody says that the site is there."""
    site = drill.begin(timeouts={"linger": "300ms"})
    workers = [psutil.Process(pid) for pid in site.workers().values()]
    with site.asked("/slow") as busy, Load(site.address, clients=CLIENTS, pause=0.01) as load:
        wait_for(lambda: len(load.answers) > CLIENTS, "answers")
        os.kill(site.daemon.pid, signal.SIGKILL)
        site.daemon.wait_exit()
        assert busy.answer().status == 200
        wait_for(lambda: not any(map(is_alive, workers)), "end of the workers")
    done = site.daemon.command("status", "-c", "site.yaml")
    assert (done.returncode, done.stderr) == (2, "superwsgi: no master of site.yaml answers\n")
    assert not any(load.lost), "a connection that was accepted"


def test_the_control_socket_is_flooded(site):
    """By those that say nothing, and those that ask all the time."""
    stop = threading.Event()

    def ask():
        while not stop.is_set():
            with contextlib.suppress(OSError, ValueError):
                site.incidents()

    crowd = [threading.Thread(target=ask) for _ in range(4)]
    with site.under_load() as load, contextlib.ExitStack() as stack:
        for thread in crowd:
            thread.start()
        for _ in range(100):
            sock = stack.enter_context(socket.socket(socket.AF_UNIX))
            sock.connect(str(site.daemon.folder / "control.sock"))
        site.says(
            r"control socket crowded: more than 32 clients at a time, the last of uid \d+ pid \d+; "
            r"some commands have to be repeated; who has asked nothing for longest is disconnected.*"
        )
        stop.set()
        for thread in crowd:
            thread.join()
    assert load.broken == []
    assert site.serves() == 2


def test_the_run_folder_is_removed(drill):
    """With the socket for clients, and that for commands: both are there again once the folder is."""
    run = drill.daemon.folder / "run"
    run.mkdir()
    drill.control = run / "control.sock"
    bind = ["127.0.0.1:0", "unix:run/site.sock"]
    drill.begin(bind=bind, control="run/control.sock", pidfile="run/pid")
    with drill.under_load() as load:
        before = drill.workers()
        shutil.rmtree(run.rename(drill.daemon.folder / "removed"))  # at once: a look may fill it again
        drill.daemon.wait_log("control socket lost")
        run.mkdir()
        wait_for(lambda: drill.serves(), "control socket")
        drill.whole(before)
    assert (run / "site.sock").is_socket()
    assert (run / "pid").read_text() == f"{drill.daemon.pid}\n"
    events = {i["event"] for i in drill.incidents()}
    assert {"control socket lost", "listener broken", "pid file lost"} <= events
    assert load.broken == []


def test_nobody_reads_stdout(drill):
    """A pipe that is full: lines are dropped, requests are not."""
    fifo = drill.daemon.folder / "stdout"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    drill.begin(["sh", "-c", f'exec "$@" >"{fifo}" 2>&1', "sh"])
    with drill.under_load() as load:
        for _ in range(20):
            assert drill.ask("/loud").status == 200
        drill.says(
            r"(worker \d )?error log failed: nobody reads it; lines are missing in the error log; "
            r"lines are dropped until it works.*"
        )
    os.close(reader)
    assert load.broken == []


STEPS = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <stdlib.h>
    #include <time.h>
    #include <unistd.h>
    int clock_gettime(clockid_t clock, struct timespec *now) {
        int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
        int failed = real(clock, now);
        if (!failed && clock == CLOCK_REALTIME && !access(getenv("STEPPED"), F_OK))
            now->tv_sec += atol(getenv("STEP"));
        return failed;
    }
"""
"""The wall clock alone, once a file is there. libfaketime takes over the waiting as well, and fails at it."""


@pytest.mark.parametrize("step", [40 * DAY, -40 * DAY], ids=["forward", "back"])
def test_the_clock_steps(drill, step):
    """Nothing that waits goes by the wall clock: who serves serves on, who dies is replaced."""
    folder = drill.daemon.folder
    source = drill.daemon.write("steps.c", STEPS)
    subprocess.run(
        [needed("gcc"), "-shared", "-fPIC", "-o", "steps.so", source, "-ldl"], cwd=folder, check=True
    )
    stepped = folder / "stepped"
    drill.begin(env={"LD_PRELOAD": str(folder / "steps.so"), "STEPPED": str(stepped), "STEP": str(step)})
    before = drill.workers()
    with drill.under_load() as load:
        stepped.touch()
        load.bodies_from_now()
        assert drill.workers() == before
        assert load.broken == []
        drill.kill(before[1])
        drill.whole(before)
    told = drill.says(rf"worker 1 died: signal 9 \(SIGKILL\): not by the master; .*{AGAIN}", before[1])
    assert abs(told["when"] - time.time() - step) < DAY
