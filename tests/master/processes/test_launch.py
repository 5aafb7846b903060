"""What a program gets, and does not get, that the master executes."""

import os
import pwd
import signal
import subprocess
import sys

import pytest

from superwsgi.master.processes.launch import Execution, spawn
from superwsgi.system.privileges import PrivilegeError

NOBODY = pwd.getpwnam("nobody")


def execution(*arguments, files=None, become=lambda: None, **more):
    return Execution(["/bin/sh", "-c", *arguments], {"GREETING": "hello"}, become, files or {}, **more)


def said(*arguments, **more):
    """What the program writes to its standard output, and its exit code."""
    ours, theirs = os.pipe()
    with open(ours) as output:
        pid = spawn(execution(*arguments, files={1: theirs}, **more))
        os.close(theirs)
        return output.read(), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_its_environment_folder_and_exit_code(tmp_path):
    assert said("echo $GREETING; pwd; exit 3", folder=str(tmp_path)) == (f"hello\n{tmp_path}\n", 3)


def test_descriptors_change_places():
    """Whatever has their numbers here."""
    first, one = os.pipe()
    second, two = os.pipe()
    try:
        numbers = "sh", str(one), str(two)
        script = "echo one >/dev/fd/$1; echo two >/dev/fd/$2"
        os.waitpid(spawn(execution(script, *numbers, files={one: two, two: one})), 0)
        assert (os.read(first, 10), os.read(second, 10)) == (b"two\n", b"one\n")
    finally:
        for fd in (first, one, second, two):
            os.close(fd)


def test_signals_have_their_defaults():
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert said("kill -TERM $$; echo ignored") == ("", -signal.SIGTERM)
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.parametrize(
    ("program", "file"),
    [
        (Execution(["/no/such/program"], {}, lambda: None, {}), "/no/such/program"),
        (execution("true", folder="/no/such/folder"), "/no/such/folder"),
    ],
)
def test_what_cannot_be_executed(program, file):
    with pytest.raises(FileNotFoundError) as caught:
        spawn(program)
    assert caught.value.filename == file


def test_rights_that_cannot_be_taken():
    def refuse():
        raise PrivilegeError("still root")

    with pytest.raises(PrivilegeError, match="still root"):
        spawn(execution("echo executed", become=refuse))


CAPABLE = """
import os
from functools import partial
from superwsgi.system import libc
from superwsgi.master.processes.launch import Execution, spawn
from superwsgi.system.privileges import drop

data = libc.capget()
data[2], data[5] = data[1], data[4]
libc.capset(data)
libc.prctl(28, 1 << 2)  # PR_SET_SECUREBITS, NO_SETUID_FIXUP
become = partial(drop, "nobody", None, 0o027)
look = "umask; grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Amb)):' /proc/self/status"
os.waitpid(spawn(Execution(["/bin/sh", "-c", look], os.environ, become, {})), 0)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_nothing_of_root_is_left():
    done = subprocess.run([sys.executable, "-c", CAPABLE], capture_output=True, text=True, timeout=60)
    mask, *lines = done.stdout.splitlines()
    found = {key: set(values.split()) for key, _, values in (line.partition(":") for line in lines)}
    groups = {str(group) for group in os.getgrouplist("nobody", NOBODY.pw_gid)}
    nothing = {key: {"0" * 16} for key in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    who = {"Uid": {str(NOBODY.pw_uid)}, "Gid": {str(NOBODY.pw_gid)}, "Groups": groups}
    assert (mask, found) == ("0027", {**who, **nothing})
