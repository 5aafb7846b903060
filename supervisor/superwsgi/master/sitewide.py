"""What exists once for all generations: the master's title, its pid file, the control socket, the admin
process, and the backlog, owner and mode of listeners. It follows the current generation; a candidate's
settings are only checked.
"""

from __future__ import annotations

from collections.abc import Callable

from setproctitle import setproctitle

from superwsgi import extras
from superwsgi.config.schema import Site
from superwsgi.files import folders
from superwsgi.log.error import ErrorLog
from superwsgi.log.rate_limit import Complaint
from superwsgi.master.admin.admin import Admin
from superwsgi.master.control.server import Control
from superwsgi.master.generations.generation import Generation
from superwsgi.master.pidfile import PidFile, PidFileError
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.listener import BindError
from superwsgi.system.privileges import PrivilegeError


class SiteWide:
    """`site` is the configuration in effect."""

    def __init__(
        self, site: Site, pidfile: PidFile, control: Control, admin: Admin, errors: ErrorLog
    ) -> None:
        self.site = site
        self._admin = admin
        self._pidfile = pidfile
        self._control = control
        self._errors = errors
        self._lost = Complaint(errors.error, "pid file lost")

    def look(self, now: float) -> None:
        """Make again what somebody has removed, perhaps with its folder."""
        self._control.look(now)
        self._admin.look(now)
        if self._pidfile.is_missing():
            reason, then = "it was removed", "written again"
            try:
                self._pidfile.move(self.site.pidfile)
            except PidFileError as error:
                reason, then = f"{reason}; {error}", "tried again"
            self._lost.make(int(now * 1e9), path=self.site.pidfile, reason=reason, next=then)

    def take_title(self) -> None:
        setproctitle(f"superwsgi: master [{self.site.name}]")

    def check(self, site: Site) -> None:
        """Find out whether `settle` would succeed. Raises PidFileError, BindError, ConfigError,
        PrivilegeError."""
        extras.require(site)
        self._pidfile.check_move(site.pidfile)
        self._control.check(site)
        self._admin.check(site)
        folders.require(site)

    def settle(self, current: Generation) -> None:
        """Another generation has become current. What cannot be changed stays as it was, and is logged."""
        self.site = current.site
        self.take_title()
        self._change("listeners", lambda: sockets.adapt(current.listeners, current.site))
        self._change("pid file", lambda: self._pidfile.move(current.site.pidfile))
        self._change("control socket", lambda: self._control.open(current.site))
        self._change("admin", lambda: self._admin.settle(current.site))

    def _change(self, what: str, change: Callable[[], None]) -> None:
        try:
            change()
        except (BindError, PidFileError, PrivilegeError) as error:
            self._errors.error("not changed", what=what, reason=str(error), next="stays as it was")
