"""A PostgreSQL of the bench's own, by Debian's packages: in a temporary folder, reached by a socket in it.

It runs on the core of the load, so that what a server costs is the server's alone. Nothing of it outlives
the bench, so nothing waits for the disk. It refuses to run as root: as the user that Debian's package makes.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.bench.process import BenchError, Tree, pinned
from tests.bench.real.data import DATABASE, USER, filling

PROGRAMS = Path("/usr/lib/postgresql")
"""Where Debian has them, a folder a version."""

PACKAGE = "postgresql"
OWNERS = ("postgres", "nobody")
START_SECONDS = 60
STOP_SECONDS = 20
FILE = "filling.sql"
SETTINGS = (
    "listen_addresses=",
    "fsync=off",
    "synchronous_commit=off",
    "full_page_writes=off",
    "autovacuum=off",
    "max_connections=200",
)


class Postgres:
    """Leave the `with` block to stop it; it is started when somebody first asks for its folder."""

    def __init__(self, core: int) -> None:
        self._core = core
        self._folder: Path | None = None

    def __enter__(self) -> Postgres:
        return self

    def __exit__(self, *_: object) -> None:
        if self._folder:
            _stop(self._folder)

    def folder(self) -> Path:
        """Of its socket. Raises BenchError where there is none to be had, and says why."""
        if not self._folder:
            folder = Path(tempfile.mkdtemp(prefix="superwsgi-bench-postgres-"))
            try:
                _start(folder, self._core)
            except BaseException:
                _stop(folder)
                raise
            self._folder = folder
        return self._folder

    def tree(self) -> Tree:
        return Tree(int(_pid_file(self.folder()).read_text().split()[0]))


def program(name: str) -> str:
    """Its path: of the newest version that Debian's packages have installed, or else on PATH."""
    versions = sorted(PROGRAMS.glob(f"*/bin/{name}"), key=lambda path: float(path.parts[-3]))
    found = str(versions[-1]) if versions else shutil.which(name)
    if not found:
        raise BenchError(f"{name} of PostgreSQL is missing: apt-get install {PACKAGE}")
    return found


def _start(folder: Path, core: int) -> None:
    """Make a cluster, start it, fill its tables."""
    programs = {name: program(name) for name in ("initdb", "pg_ctl", "psql")}
    if owner := _owner():
        shutil.chown(folder, owner)
    options = " ".join(f"-c {setting}" for setting in (*SETTINGS, f"unix_socket_directories={folder}"))
    data, log = ["-D", str(folder / "data")], ["-l", str(folder / "log"), "-t", str(START_SECONDS)]
    _run([programs["initdb"], *data, "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"])
    _run(pinned({core}, [programs["pg_ctl"], *data, *log, "-w", "-o", options, "start"]))
    (folder / FILE).write_text(filling())
    named = ["-h", str(folder), "-U", USER, "-d", DATABASE, "-v", "ON_ERROR_STOP=1"]
    _run([programs["psql"], "-q", *named, "-f", str(folder / FILE)])


def _stop(folder: Path) -> None:
    """It and what it has written are gone then."""
    if _pid_file(folder).exists():
        with contextlib.suppress(BenchError):
            how = ["-D", str(folder / "data"), "-m", "fast", "-t", str(STOP_SECONDS), "-w", "stop"]
            _run([program("pg_ctl"), *how])
    shutil.rmtree(folder, ignore_errors=True)


def _pid_file(folder: Path) -> Path:
    return folder / "data" / "postmaster.pid"


def _run(command: list[str]) -> None:
    """Raises BenchError with the last line that it says where it fails."""
    with tempfile.TemporaryFile("w+", errors="replace") as output:  # a pipe would be kept open by the server
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd="/", user=_owner()
        )
        if done.returncode:
            output.seek(0)
            said = output.read().strip().splitlines() or [f"it ended with {done.returncode}"]
            raise BenchError(f"PostgreSQL does not start: {said[-1]}")


def _owner() -> str | None:
    """Who it runs as; nobody else than who asks, where that is not root."""
    if os.geteuid():
        return None
    known = {user.pw_name for user in pwd.getpwall()}
    return next(name for name in OWNERS if name in known)
