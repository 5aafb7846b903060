"""The bench's own virtual environments, in the user's cache folder: a checkout's wheel, Flask and the peers.

The wheel is the one that `pip install .` makes: compiled where there is a C compiler, and the report says so.
What cannot be installed is reported and left out. Delete a folder to get the newest versions.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
from functools import cached_property
from pathlib import Path

from tests.bench.process import BenchError
from tests.bench.servers import OURS, REPOSITORY, SERVERS

FILE = "10k.bin"
LIBRARIES = ("flask", "django", "whitenoise", "psycopg", "psycopg-binary", "psycopg-pool")
"""Of the applications."""


class Environment:
    """Created on first use; one for each version of Python, and one for checkouts that are not this one.
    `python`: the interpreter that it is of; `checkout`: whose wheel is measured."""

    def __init__(self, python: Path, checkout: Path = REPOSITORY) -> None:
        self._python = python
        self.checkout = checkout

    @cached_property
    def python_version(self) -> str:
        """As in `CPython 3.13.0`. Raises BenchError where the interpreter cannot be run."""
        code = "import platform as p; print(p.python_implementation(), p.python_version())"
        try:
            done = subprocess.run([self._python, "-c", code], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            raise BenchError(f"{self._python} is no Python that runs: {error}") from None
        if not done.stdout:
            raise BenchError(f"{self._python} is no Python")
        return done.stdout.strip()

    @cached_property
    def folder(self) -> Path:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        name = self.python_version.replace(" ", "-").lower()
        return cache / "superwsgi-bench" / (name if self.checkout == REPOSITORY else f"{name}-before")

    def prepare(self, servers: tuple[str, ...]) -> dict[str, str]:
        """Install what is missing. Returns why a server could not be, by its name. Raises BenchError."""
        self._create()
        self._make_files()
        present = self.versions()
        wanted = {name: SERVERS[name].installed for name in servers} | {name: (name,) for name in LIBRARIES}
        failures = {
            name: self._pip_install(*missing)
            for name, packages in wanted.items()
            if (missing := set(packages) - present.keys())
        }
        if OURS in servers:
            failures[OURS] = self._install_ours()
        failures |= {name: reason for name in servers if (reason := self._lacks(SERVERS[name].key))}
        return {name: reason for name, reason in failures.items() if reason}

    def variables(self) -> dict[str, str]:
        """Of a server's processes: programs are those installed here, the applications can be imported."""
        path = os.pathsep.join([str(self._bin), os.environ.get("PATH", os.defpath)])
        return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}

    def versions(self) -> dict[str, str]:
        """Installed distributions by lower-case name."""
        listing = self._pip("list", "--format", "json").stdout
        return {entry["name"].lower(): entry["version"] for entry in json.loads(listing)}

    def is_compiled(self) -> bool:
        """Whether what was installed of the checkout has C on the request path."""
        said = subprocess.run([self._bin / OURS, "--version"], capture_output=True, text=True).stdout
        return "compiled" in said

    def _lacks(self, key: str) -> str:
        """Why a site file may not have `key`, or nothing."""
        said = subprocess.run([self._bin / OURS, "reference"], capture_output=True, text=True).stdout
        known = not key or re.search(rf"^(# ?)?{key}:", said, re.MULTILINE)
        return "" if known else f"this superwsgi has no `{key}` in its site file"

    @property
    def files(self) -> Path:
        """A folder with a file of 10 KB. It is there for long: servers may treat new ones in another way."""
        return self.folder / "files"

    def _make_files(self) -> None:
        self.files.mkdir(exist_ok=True)
        file = self.files / FILE
        if not file.exists():
            file.write_bytes(b"0123456789" * 1024)

    @property
    def _bin(self) -> Path:
        return self.folder / "bin"

    def _create(self) -> None:
        """Its last step is the program that the others need, so what was interrupted is begun again."""
        if (self._bin / "pip").exists():
            return
        done = subprocess.run([self._python, "-m", "venv", self.folder], capture_output=True, text=True)
        if done.returncode:
            raise BenchError(f"{self._python} makes no virtual environment: {_reason(done)}")

    def _install_ours(self) -> str:
        """Why it failed, or nothing. Made again only of other sources, which takes half a minute."""
        made_of, sources = self.folder / "superwsgi-made-of", self._sources()
        if made_of.exists() and made_of.read_text() == sources:
            return ""
        made_of.unlink(missing_ok=True)
        failure = self._pip_install(str(self.checkout))
        if not failure:
            made_of.write_text(sources)
        return failure

    def _sources(self) -> str:
        """A digest of what a wheel is made of, and of whether there is a compiler to make it."""
        digest = hashlib.sha256(str(shutil.which("cc")).encode())
        sources = [path for path in (self.checkout / "supervisor").rglob("*") if path.suffix != ".pyc"]
        for path in sorted([self.checkout / "pyproject.toml", *filter(Path.is_file, sources)]):
            digest.update(str(path.relative_to(self.checkout)).encode() + path.read_bytes())
        return digest.hexdigest()

    def _pip_install(self, *what: str) -> str:
        """Why it failed, or nothing."""
        done = self._pip("install", "--quiet", "--prefer-binary", *what)
        return _reason(done) if done.returncode else ""

    def _pip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._bin / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
        return subprocess.run(command, capture_output=True, text=True)


def _reason(done: subprocess.CompletedProcess[str]) -> str:
    """The last error that it names; what pip says after that is advice."""
    lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
    return next((line for line in reversed(lines) if line.lower().startswith("error")), lines[-1])
