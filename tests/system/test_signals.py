"""Signals that are taken, ignored, and given back, in a process of their own."""

import os
import subprocess
import sys

import pytest

BEGIN = (
    "import os, signal\nfrom superwsgi.system import signals\nfrom superwsgi.system.signals import Signals\n"
)


def printed_by(script, **more):
    command = [sys.executable, "-c", BEGIN + script]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=True, **more
    ).stdout.strip()


def test_what_is_given_back_is_what_was_there():
    own = "own = lambda *_: None\nsignal.signal(signal.SIGTERM, own)\n"
    before = "there = [signal.getsignal(n) for n in (1, 2, 3)]\n"
    take = "s = Signals(); s.begin(); s.take([15, 3]); signals.ignore([1, 2, 15])\n"
    ask = "[signal.getsignal(n) for n in (1, 2, 3)] == there"
    back = "s.close_in_child(); signals.give_back()\n"
    script = f"{own}{before}{take}{back}print(signal.getsignal(15) is own, {ask})"
    assert printed_by(script) == "True True"


def test_what_the_application_has_set_since_stays():
    script = "signals.ignore([10])\nsignal.signal(10, signal.SIG_IGN)\nsignals.give_back()\n"
    assert printed_by(script + "print(signal.getsignal(10) is signal.SIG_IGN)") == "True"


def test_what_is_blocked_is_taken_nevertheless():
    script = "signal.pthread_sigmask(signal.SIG_BLOCK, [15]); s = Signals(); s.begin(); s.take([15])\n"
    assert printed_by(script + "os.kill(os.getpid(), 15); print(list(s.read()))") == "[15]"


@pytest.mark.parametrize("number", ["SIGTTIN", "SIGTTOU"])
def test_a_process_in_the_background_of_its_terminal_does_not_hang(number):
    script = f"""
import fcntl, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
settings = termios.tcgetattr(0)
settings[3] |= termios.TOSTOP
termios.tcsetattr(0, termios.TCSANOW, settings)
signals.ignore([signal.{number}])
if os.fork() == 0:
    signal.alarm(30)
    os.setpgid(0, 0)
    try:
        os.read(0, 1) if "{number}" == "SIGTTIN" else os.write(0, b"x")
        print("done", flush=True)
    except OSError as error:
        print(os.strerror(error.errno), flush=True)
    os._exit(0)
os.wait()
"""
    ours, theirs = os.openpty()
    try:
        said = printed_by(script, stdin=theirs, start_new_session=True)
    finally:
        os.close(ours)
        os.close(theirs)
    assert said == ("Input/output error" if number == "SIGTTIN" else "done")
