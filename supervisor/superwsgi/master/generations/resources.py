"""What the master opens for a generation before that exists: log files and listeners."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from superwsgi.config.schema import Site
from superwsgi.master.logfiles import LogFiles
from superwsgi.master.sockets import sockets
from superwsgi.master.sockets.inherited import Inherited
from superwsgi.master.sockets.listener import Listener
from superwsgi.system.privileges import identity
from superwsgi.tls import interface


@dataclass(frozen=True)
class Shared:
    """What the master opens for a generation, with the rights that only it has."""

    listeners: list[Listener]
    logs: LogFiles
    warnings: Sequence[str] = ()

    @classmethod
    def prepare(cls, site: Site, inherited: Inherited) -> Shared:
        """Open log files and listeners, at the first start.

        Raises CertificateError, LogTargetError, PrivilegeError or BindError, with nothing left open.
        """
        warnings = _looked_at(site)
        logs = LogFiles.open(site.log)
        try:
            return cls(sockets.prepare(site, (), inherited), logs, warnings)
        except BaseException:
            logs.close()
            raise

    @classmethod
    def beside(cls, site: Site, inherited: Inherited, open_already: Iterable[Listener]) -> Shared:
        """Open missing listeners beside those that serve; log files are opened later.

        Raises CertificateError, PrivilegeError or BindError, with nothing left open.
        """
        warnings = _looked_at(site)
        return cls(sockets.prepare(site, open_already, inherited), LogFiles.yet_to_open(site.log), warnings)

    def give_up(self, kept: Iterable[Listener]) -> None:
        """Close all but the listeners that are `kept`."""
        sockets.close(listener for listener in self.listeners if listener not in kept)
        self.logs.close()


def _looked_at(site: Site) -> Sequence[str]:
    """Warnings about users and certificates: the mold reads these again, and the master keeps no key.

    Raises PrivilegeError, CertificateError.
    """
    identity(site.user, site.group)
    certificates = interface.load(site.tls)
    return certificates.warnings if certificates is not None else ()
