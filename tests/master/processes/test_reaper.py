"""Collecting children: real ones."""

import os
import subprocess

from superwsgi.master.processes import reaper


def test_a_child_that_is_told_has_its_process_id_still():
    process = subprocess.Popen(["sh", "-c", "exit 7"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    told = {}
    for pid, code in reaper.ended():
        assert reaper.is_child(pid)
        told[pid] = code
    assert told == {process.pid: 7}
    assert not reaper.is_child(process.pid)
    process.returncode = 7  # reaped by us, not by subprocess


def test_a_child_that_runs_is_one():
    process = subprocess.Popen(["sleep", "60"])
    assert reaper.is_child(process.pid)
    assert process.pid not in dict(reaper.ended())
    process.kill()
    assert process.wait(20) == -9


def test_others_are_none():
    assert not reaper.is_child(os.getppid())
    assert not reaper.is_child(1 << 22)
