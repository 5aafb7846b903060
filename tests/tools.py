"""Programs that some tests drive. Without one they are skipped on a user's machine, and fail in CI."""

import os
import shutil

import pytest


def needed(program):
    """The path of `program`."""
    path = shutil.which(program)
    if path is None and os.environ.get("CI"):
        pytest.fail(f"{program} is not installed, and in CI nothing is skipped")
    if path is None:
        pytest.skip(f"{program} is not installed")
    return path
