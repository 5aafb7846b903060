"""Wheels of this very source under other versions, and a virtual environment that they are installed in."""

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
SOURCES = ("pyproject.toml", "README.md", "LICENSE", "supervisor")
DEADLINE = 120


def build(version, folder):
    """The path of a wheel of that version, plain Python: compiling takes half a minute."""
    tree = folder / f"source-{version}"
    tree.mkdir()
    for name in SOURCES:
        copy = shutil.copytree if (REPOSITORY / name).is_dir() else shutil.copy
        copy(REPOSITORY / name, tree / name)
    module = tree / "supervisor/superwsgi/__init__.py"
    text, found = re.subn(r'__version__ = ".*"', f'__version__ = "{version}"', module.read_text())
    assert found == 1
    module.write_text(text)
    run([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder], tree)
    (wheel,) = folder.glob(f"superwsgi-{version}-*.whl")
    return wheel


class Environment:
    """What superwsgi depends on comes from the environment that the tests run in."""

    def __init__(self, folder):
        venv.create(folder, symlinks=True)
        self.python = folder / "bin/python"
        self.command = folder / "bin/superwsgi"
        (packages,) = folder.glob("lib/*/site-packages")
        others = [path for path in sys.path if path.endswith("-packages")]
        (packages / "dependencies.pth").write_text("".join(f"{path}\n" for path in others))

    def install(self, wheel):
        """As an operator does it, over what is there."""
        pip = [sys.executable, "-m", "pip", "--python", self.python, "install", "-q", "--force-reinstall"]
        run([*pip, "--no-deps", "--no-index", wheel], Path("/"))


def run(command, folder):
    environ = {**os.environ, "HATCH_BUILD_NO_HOOKS": "true"}
    done = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )
    assert done.returncode == 0, done.stdout + done.stderr
