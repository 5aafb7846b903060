"""The bench's own virtual environment, in the user's cache folder: this checkout, Flask and the peers.

The checkout is installed as its wheel, compiled where there is a C compiler. What cannot be installed is
reported and left out. Delete the folder to get the newest versions.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.bench.servers import OURS, REPOSITORY, SERVERS


class Environment:
    """Created on first use; one per Python version."""

    def __init__(self) -> None:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.folder = cache / "superwsgi-bench" / f"python-{sys.version_info.major}.{sys.version_info.minor}"
        self._bin = self.folder / "bin"
        self._installed_at = self.folder / "superwsgi-installed"

    def prepare(self, servers: tuple[str, ...]) -> dict[str, str]:
        """Install what is missing. Returns why a server could not be, by its name."""
        if not self._bin.exists():
            subprocess.run([sys.executable, "-m", "venv", str(self.folder)], check=True)
        present = self.versions()
        wanted = {name: SERVERS[name].package for name in servers if name != OURS}
        wanted |= {"Flask": "flask", "Django": "django"}
        failures = {
            name: self._pip_install(package) for name, package in wanted.items() if package not in present
        }
        if OURS in servers and self._is_outdated():
            failures[OURS] = self._pip_install(str(REPOSITORY))
            if not failures[OURS]:
                self._installed_at.touch()
        return {name: reason for name, reason in failures.items() if reason}

    def variables(self) -> dict[str, str]:
        """Of a server's processes: programs are those installed here, the applications can be imported."""
        path = os.pathsep.join([str(self._bin), os.environ.get("PATH", os.defpath)])
        return {**os.environ, "PATH": path, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1"}

    def versions(self) -> dict[str, str]:
        """Installed distributions by lower-case name; ours tells whether it is compiled."""
        listing = self._pip("list", "--format", "json").stdout
        versions = {entry["name"].lower(): entry["version"] for entry in json.loads(listing)}
        if OURS in versions:
            said = subprocess.run([self._bin / OURS, "--version"], capture_output=True, text=True).stdout
            versions[OURS] = said.strip().removeprefix(f"{OURS} ")
        return versions

    def _is_outdated(self) -> bool:
        """Whether the checkout has changed since it was installed."""
        sources = [REPOSITORY / "pyproject.toml", *(REPOSITORY / "supervisor").rglob("*.*")]
        changed = max(path.stat().st_mtime for path in sources)
        return not self._installed_at.exists() or self._installed_at.stat().st_mtime < changed

    def _pip_install(self, *what: str) -> str:
        """Why it failed, or nothing."""
        done = self._pip("install", "--quiet", "--prefer-binary", *what)
        return (done.stderr.strip().splitlines() or ["pip failed"])[-1] if done.returncode else ""

    def _pip(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(self._bin / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
        return subprocess.run(command, capture_output=True, text=True)
