"""What the kernel tells of processes and threads."""

import os
import subprocess
import threading
from pathlib import Path

from superwsgi.system import procfs
from tests.e2e.daemon import wait_for


def test_a_thread_that_computes_is_awake():
    ends = threading.Event()

    def compute():
        while not ends.is_set():
            pass

    thread = threading.Thread(target=compute)
    thread.start()
    assert thread.native_id is not None
    native = thread.native_id
    wait_for(lambda: (procfs.awake(native) or 0) > 0.1, "a tenth of a second")
    wait_for(lambda: (procfs._computed(Path(f"/proc/self/task/{native}")) or 0) > 0.1, "as much by ticks")
    ends.set()
    thread.join()
    wait_for(lambda: procfs.awake(native) is None, "end of the thread")


def test_one_that_waits_is_not():
    ends = threading.Event()
    thread = threading.Thread(target=ends.wait)
    thread.start()
    assert thread.native_id is not None
    assert (procfs.awake(thread.native_id) or 0) < 1
    ends.set()
    thread.join()


def test_which_processes_there_are():
    ended = subprocess.Popen(["true"])
    assert procfs.exists(os.getpid())
    assert procfs.exists(1)
    ended.wait()
    assert not procfs.exists(ended.pid)
