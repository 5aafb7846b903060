"""Ctrl-C in the first half second of a command."""

import signal
import subprocess
import sys

_SHOWN = """
import os, signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "superwsgi.cli.main":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
import superwsgi.cli
"""


_AS_USUAL = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""These tests may run in the background of a shell, which has its children ignore it."""


def _run(program: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", _AS_USUAL + program]
    return subprocess.run(words, text=True, capture_output=True, timeout=60)


def test_no_traceback_of_an_import() -> None:
    ended = _run(_SHOWN)
    assert (ended.returncode, ended.stderr) == (-signal.SIGINT, "")


def test_afterwards_it_is_as_before() -> None:
    ended = _run("import signal, superwsgi.cli; print(signal.getsignal(signal.SIGINT).__name__)")
    assert ended.stdout.strip() == "default_int_handler"


def test_who_ignores_it_goes_on_ignoring_it() -> None:
    ignoring = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    ended = _run(f"{ignoring}{_SHOWN}\nprint(signal.getsignal(signal.SIGINT).name)")
    assert ended.stdout.strip() == "SIG_IGN"
