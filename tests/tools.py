"""Programs and packages that some tests need. Without one they are skipped on a user's machine, and fail in
CI.
"""

import importlib.util
import os
import select
import shutil
from pathlib import Path

import pytest

from superwsgi import build

reads_frames = pytest.mark.skipif(
    not build.has_gil(), reason="without the GIL frames of running threads cannot be read"
)


def needed(program):
    """The path of `program`."""
    return _there(shutil.which(program), program)


def needed_file(path: Path):
    """`path`, a part of a program that distributions package on its own."""
    return _there(path if path.exists() else None, path)


def needed_package(name):
    """A package beyond those of the extra `test`."""
    _there(importlib.util.find_spec(name), f"the package {name}")


def _there(found, what):
    if found is None and os.environ.get("CI"):
        pytest.fail(f"{what} is not installed, and in CI nothing is skipped")
    if found is None:
        pytest.skip(f"{what} is not installed")
    return found


def readable(source, seconds):
    """Whether there is something to read from a descriptor, or what has one, within so many seconds; not by
    select(2), which refuses descriptors above 1023."""
    poll = select.poll()
    poll.register(source, select.POLLIN)
    return bool(poll.poll(seconds * 1000))
