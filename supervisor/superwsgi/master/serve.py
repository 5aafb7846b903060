"""Running a site, from its typed configuration to the master's exit code. Called by the command line and
`superwsgi.run`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import Final

from superwsgi import extras
from superwsgi.config.errors import ConfigError
from superwsgi.config.schema import Site
from superwsgi.control import CONFIGURATION, FAILED, NOT_BOUND, OK
from superwsgi.files import folders
from superwsgi.log.files import LogTargetError
from superwsgi.master.admin import user
from superwsgi.master.context import ReadSite, Startup, check_command
from superwsgi.master.control.paths import folders as control_folders
from superwsgi.master.generations.resources import Shared
from superwsgi.master.handover import HandoverError, handed_over
from superwsgi.master.master import Master
from superwsgi.master.pidfile import PidFile, PidFileError
from superwsgi.master.processes.launch import Launch
from superwsgi.master.release import Origin
from superwsgi.master.sockets.inherited import Inherited
from superwsgi.master.sockets.listener import BindError
from superwsgi.master.systemd.notify import Notifier
from superwsgi.master.upgrade.takeover import Taken, rehearse
from superwsgi.master.upgrade.upgrade import REHEARSAL
from superwsgi.metrics.folder import MetricsFolder
from superwsgi.system.privileges import PrivilegeError
from superwsgi.tls.interface import CertificateError


def serve(read_site: ReadSite, launch: Launch, site_file: str | None = None) -> int:
    """Serve until stopped, or continue where an earlier program of this process left off. Returns the exit
    code; reasons not to start go to stderr. `site_file` is the absolute path of the file that is read."""
    rehearsal = os.environ.pop(REHEARSAL, None)
    advised = None if rehearsal else site_file  # of a rehearsal the master reads the last line as the reason
    try:
        handover = handed_over(os.environ)
        if handover is None:
            return _start(read_site, launch, site_file)
        if rehearsal:
            rehearse(handover)
            _require(read_site())
            return OK
        return _go_on(Taken.open(handover), read_site, launch, site_file)
    except BindError as error:
        return _refuse(error, NOT_BOUND, advised)
    except ConfigError as error:
        print(error, file=sys.stderr)
        _point_to_check(advised)
        return CONFIGURATION
    except (CertificateError, LogTargetError, PrivilegeError) as error:
        return _refuse(error, CONFIGURATION, advised)
    except (PidFileError, HandoverError, OSError) as error:
        return _refuse(error, FAILED)


def _start(read_site: ReadSite, launch: Launch, site_file: str | None) -> int:
    inherited, notifier = Inherited.from_environ(os.environ), Notifier(os.environ)
    site = read_site()
    _require(site)
    with _pid_file(PidFile(site.pidfile)) as pidfile:
        shared = Shared.prepare(site, inherited)
        for name in inherited.left_over():
            notifier.forget(name)
        origin = Origin.of_process(site_file, site.chdir)
        with _metrics_folder(site.name) as metrics:
            startup = Startup(read_site, launch, origin, pidfile, inherited, notifier, metrics, site_file)
            return Master(site, shared, startup).run()


def _require(site: Site) -> None:
    """Raises ConfigError, PrivilegeError."""
    extras.require(site)
    folders.require(site)
    user.require(site)


def _go_on(taken: Taken, read_site: ReadSite, launch: Launch, site_file: str | None) -> int:
    notifier = Notifier(os.environ)
    held = taken.handover.pidfile
    with _pid_file(PidFile(taken.site.pidfile) if held is None else PidFile.restore(held)) as pidfile:
        origin = Origin.of_process(site_file)
        given = taken.inherited
        with _metrics_folder(taken.site.name, taken.handover.metrics) as metrics:
            startup = Startup(read_site, launch, origin, pidfile, given, notifier, metrics, site_file)
            return Master(taken.site, taken.shared, startup, taken).run()


@contextlib.contextmanager
def _pid_file(pidfile: PidFile) -> Iterator[PidFile]:
    """Raises PidFileError."""
    pidfile.take()
    try:
        yield pidfile
    finally:
        pidfile.release()


@contextlib.contextmanager
def _metrics_folder(name: str, held: tuple[str, int] | None = None) -> Iterator[MetricsFolder]:
    """Beside the control socket, where it is called by its name."""
    metrics = MetricsFolder(name, [each.path for each in control_folders(name, os.environ)], held)
    try:
        yield metrics
    finally:
        metrics.remove()


def _refuse(error: Exception, code: int, site_file: str | None = None) -> int:
    """`site_file` where something else in it may be wrong, too."""
    print(f"superwsgi: {error}", file=sys.stderr)
    _point_to_check(site_file)
    return code


_NO_FILE: Final = (
    "a site file is written by `superwsgi init`; without one `superwsgi run` serves what the folder has"
)


def _point_to_check(site_file: str | None) -> None:
    if site_file is None:
        return
    if os.path.lexists(site_file):
        print(f"superwsgi: for all that is wrong at once: {check_command(site_file)}", file=sys.stderr)
    else:
        print(f"superwsgi: {_NO_FILE}", file=sys.stderr)
