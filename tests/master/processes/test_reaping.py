"""What the kernel says of real children."""

import os
import signal
import subprocess
import sys
import time

from superwsgi.master.processes.reaping import ended, is_child


def test_a_child_that_is_told_has_its_process_id_still():
    process = subprocess.Popen(["sh", "-c", "exit 7"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    told = {}
    for pid, code in ended():
        assert is_child(pid)
        told[pid] = code
    assert told == {process.pid: 7}
    assert not is_child(process.pid)
    process.returncode = 7  # reaped by us, not by subprocess


def test_a_child_that_runs_is_one():
    process = subprocess.Popen(["sleep", "60"])
    assert is_child(process.pid)
    assert process.pid not in dict(ended())
    process.kill()
    assert process.wait(60) == -9


def test_others_are_none():
    assert not is_child(os.getppid())
    assert not is_child(1 << 22)


TRACED = """
import ctypes, os, signal, sys
signal.signal(signal.SIGUSR1, lambda *_: None)
for _ in range(int(sys.argv[1])):
    if ctypes.CDLL(None).ptrace(0, 0, 0, 0) != 0:  # PTRACE_TRACEME
        os._exit(99)
    os.kill(os.getpid(), signal.SIGUSR1)
print("goes on", flush=True)
sys.stdin.read()
"""


def traced(times):
    """A child that has made us its tracer so many times, and has sent itself a signal each time."""
    command = [sys.executable, "-c", TRACED, str(times)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def reap(process):
    """How it has ended; fails if that is never told."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for pid, code in ended():
            if pid == process.pid:
                process.returncode = code  # reaped by us, not by subprocess
                return code
        time.sleep(0.0001)
    raise AssertionError("it is not told that it has ended")


def test_a_child_that_has_us_trace_it_has_not_ended_by_a_signal():
    with traced(1) as process:
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert process.pid not in dict(ended())
        assert process.stdout.readline() == "goes on\n"
        assert is_child(process.pid)
        process.stdin.close()
        assert reap(process) == 0


def test_one_that_does_so_without_end_keeps_nobody_busy():
    with traced(1_000_000) as process:
        code = reap(process)
        assert code == -signal.SIGKILL
