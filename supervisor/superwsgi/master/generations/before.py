"""The command in `rollout.before`, which runs before a generation is loaded, in its release, with the site's
user and environment.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from superwsgi.config.schema import Site
from superwsgi.log.spelling import duration, ending
from superwsgi.master.generations.generation import Generation
from superwsgi.master.processes.launch import environ_of
from superwsgi.master.processes.program import Program, Result
from superwsgi.system import privileges

_SHELL = "/bin/sh"


def run(program: Program, generation: Generation, now: float) -> int:
    """Start it; returns its process id. Raises OSError, PrivilegeError."""
    site = generation.site
    command = [_SHELL, "-c", str(site.rollout.before)]
    become = partial(privileges.drop, site.user, site.group, site.umask)
    return program.start(
        command, _environ(generation), now, site.timeouts.boot, folder=site.chdir, become=become
    )


def failure(site: Site, result: Result) -> str:
    """Why it failed; empty if it did not."""
    if result.code == 0:
        return ""
    how = f"ended with {ending(result.code)}"
    if result.late:
        how = f"did not finish within {duration(site.timeouts.boot)} (timeouts.boot)"
    return f"rollout.before {how}: {site.rollout.before}"


def _environ(generation: Generation) -> dict[str, str]:
    """The site's environment, with the interpreter's folder first in the PATH: `python` is the site's."""
    environ = environ_of(generation.site, generation.release)
    folder = str(Path(generation.release.python).parent)
    return {**environ, "PATH": os.pathsep.join([folder, environ.get("PATH", os.defpath)])}
