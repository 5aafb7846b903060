"""Whose copy a process is, whatever it calls itself."""

import os
import subprocess
import sys

SCRIPT = """
import os, subprocess
from setproctitle import setproctitle
from superwsgi.system import lineage

def said(fork, *more):
    reader, writer = os.pipe()
    if os.fork() == 0:
        fork()
        mark = lineage.mark_of(os.getpid())
        os.write(writer, repr((mark.mold == MOLD, mark.owner == MOLD, mark.owner == os.getpid())).encode())
        os._exit(0)
    os.wait()
    return os.read(reader, 99).decode()

MOLD = os.getpid()
before = len(os.listdir("/proc/self/fd"))
print(lineage.mark_of(MOLD))
lineage.carry()
print(lineage.mark_of(MOLD) == lineage.Mark(MOLD, MOLD), len(os.listdir("/proc/self/fd")) - before)
print(said(lambda: setproctitle("something else")))
print(said(lineage.carry))
program = subprocess.Popen(["sleep", "60"])
print(lineage.mark_of(program.pid))
program.kill()
program.wait()
print(lineage.mark_of(program.pid))
"""


def test_marks():
    ran = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=60)
    assert ran.stdout.splitlines() == [
        "None",
        "True 0",
        "(True, True, False)",  # a copy
        "(True, False, True)",  # a worker
        "None",  # a program
        "None",  # nobody
    ], ran.stderr


def test_a_title_has_to_do_where_the_memory_may_not_be_read():
    script = "import sys, setproctitle; setproctitle.setproctitle(sys.argv[1]); print(flush=True); input()"
    from superwsgi.system import lineage

    title = lineage.TITLE.format(owner=os.getpid()) + "worker 1 gen 1 [shop]"
    with subprocess.Popen([sys.executable, "-c", script, title], stdin=-1, stdout=-1) as copy:
        assert copy.stdout is not None
        copy.stdout.readline()
        assert lineage._titled(copy.pid) == lineage.Mark(os.getpid(), os.getpid())
        copy.communicate(b"\n")
