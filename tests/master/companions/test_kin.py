"""What is left of a companion that has ended, found by another process that plays its master."""

import os
import signal
import subprocess
import sys

from superwsgi.master.companions import kin

_MASTER = """
import contextlib, os, signal, sys
from superwsgi.master.companions import kin
from superwsgi.system import libc

DAEMON = "import os, time\\nif os.fork() or os.setsid() or os.fork(): raise SystemExit\\ntime.sleep(60)"
libc.prctl(36, 1)  # PR_SET_CHILD_SUBREAPER, as a master does
marked = kin.marks("news", 1)
for _ in range(20):
    leader = os.fork()
    if leader == 0:
        os.setsid()
        os.execve(sys.executable, [sys.executable, "-S", "-E", "-c", DAEMON], {**os.environ, **marked})
    os.waitpid(leader, 0)
    print(len(kin.left_by(leader, marked)) > 0)
    while left := kin.left_by(leader, marked):
        for pid in left:
            os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # one is not ours yet as long as its parent is ending
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
"""


def test_one_that_puts_itself_into_the_background_is_found_at_once():
    """It may fork and end while it is looked for."""
    done = subprocess.run([sys.executable, "-c", _MASTER], text=True, capture_output=True, timeout=120)
    assert (done.stdout.split(), done.stderr) == (["True"] * 20, "")


def test_what_is_below_a_process_that_shows_no_variables_is_found():
    """As long as a process ends it shows none, and is still the parent of what it has forked."""
    marked = kin.marks("news", 1)
    child = "import subprocess, sys, time; print(flush=True); time.sleep(60)"
    code = f"""
import os, subprocess, sys
inner = subprocess.Popen([sys.executable, "-S", "-c", {child!r}], env={marked!r}, start_new_session=True)
print(inner.pid, flush=True)
inner.wait()
"""
    command = [sys.executable, "-S", "-c", code]
    with subprocess.Popen(
        command, env={}, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as outer:
        try:
            inner = int(outer.stdout.readline())
            outer.stdout.readline()  # it runs, with its own variables
            assert kin.left_by(outer.pid, marked) == [inner]
            assert kin.left_by(outer.pid, kin.marks("news", 2)) == []
        finally:
            for pid in (inner, outer.pid):
                os.kill(pid, signal.SIGKILL)
