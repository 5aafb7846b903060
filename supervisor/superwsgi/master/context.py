"""What the parts of the master share and only read."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import dataclass

from superwsgi.config.schema import Site
from superwsgi.log.error import ErrorLog
from superwsgi.master.eventloop import EventLoop
from superwsgi.master.incidents.incidents import Incidents
from superwsgi.master.pidfile import PidFile
from superwsgi.master.processes.launch import Launch
from superwsgi.master.release import Origin
from superwsgi.master.sockets.inherited import Inherited
from superwsgi.master.systemd.notify import Notifier
from superwsgi.metrics.folder import MetricsFolder

ReadSite = Callable[[], Site]
"""Reads the configuration again, for HUP. Raises ConfigError."""


@dataclass(frozen=True, slots=True)
class Startup:
    """What a master is started with: `origin` is how this program was, and `read_site` reads `site_file`."""

    read_site: ReadSite
    launch: Launch
    origin: Origin
    pidfile: PidFile
    inherited: Inherited
    notifier: Notifier
    metrics: MetricsFolder
    site_file: str | None = None


@dataclass(frozen=True, slots=True)
class MasterContext:
    """The master's one loop, its one log, which is that of a generation once it serves, and the incidents."""

    loop: EventLoop
    errors: ErrorLog
    incidents: Incidents


def check_command(site_file: str) -> str:
    """What an operator types to know all that is wrong with it."""
    return f"superwsgi check -c {shlex.quote(site_file)}"
