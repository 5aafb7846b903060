"""What is said of the interpreter: `--version`, status and the log have it from here."""

import os
import platform
import subprocess
import sys

import pytest

from superwsgi import build
from superwsgi.log.error import ErrorLog
from superwsgi.worker.boot.loading.application import tell_threads

FREE = pytest.mark.skipif(not build.is_free_threaded(), reason="this Python always has the GIL")


def version(**environ):
    command = [sys.executable, "-W", "ignore", "-m", "superwsgi", "--version"]
    done = subprocess.run(command, env={**os.environ, **environ}, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "error.log"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    yield path, ErrorLog(fd, "debug")
    os.close(fd)


def test_the_interpreter_is_named():
    assert f"Python {build.python()}, " in version()
    assert build.python().startswith(platform.python_version())


@pytest.mark.skipif(build.is_free_threaded(), reason="this Python is free-threaded")
def test_one_that_always_has_the_gil_needs_no_word(log):
    path, errors = log
    tell_threads(errors)
    assert (build.python(), build.has_gil()) == (platform.python_version(), True)
    assert path.read_text() == ""


@FREE
@pytest.mark.parametrize(
    ("gil", "said"), [("0", "free-threaded, pure Python"), ("1", "free-threaded, GIL on, pure Python")]
)
def test_a_free_threaded_one_says_whether_it_is_that_still(gil, said):
    assert f"{platform.python_version()} {said}" in version(PYTHON_GIL=gil)


@FREE
def test_its_log_says_so(log):
    path, errors = log
    tell_threads(errors)
    said = "threads take turns" if build.has_gil() else "threads compute at the same time"
    assert f'{said} python="{build.python()}"' in path.read_text()
