"""What is no module goes into the wheel and the sdist as well: templates and pages."""

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PACKAGE = REPOSITORY / "supervisor"


def wanted():
    """All files of the package, below it."""
    return {
        str(path.relative_to(PACKAGE))
        for path in (PACKAGE / "superwsgi").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".so"
    }


def test_they_carry_all_of_the_package(tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", tmp_path]
    environ = {**os.environ, "HATCH_BUILD_NO_HOOKS": "true"}  # compiling takes half a minute
    done = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    files = wanted()
    assert {f"superwsgi/templates/{name}" for name in ("service", "nginx", "docker", "kubernetes")} <= files
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        assert files <= set(archive.namelist())
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        names = {name.partition("/supervisor/")[2] for name in archive.getnames()}
    assert files <= names
