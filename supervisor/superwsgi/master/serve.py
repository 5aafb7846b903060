"""Running a site: from its typed configuration to the master's exit code. What the command line and
`superwsgi.run` call.
"""

from __future__ import annotations

import os
import sys
from typing import Final

from superwsgi.config.schema import Site
from superwsgi.log.files import LogTargetError
from superwsgi.master.generation import Shared
from superwsgi.master.inherited import Inherited
from superwsgi.master.launch import Launch
from superwsgi.master.master import Master, ReadSite
from superwsgi.master.notify import Notifier
from superwsgi.master.pidfile import PidFile, PidFileError
from superwsgi.master.sockets import BindError
from superwsgi.worker.privileges import PrivilegeError

FAILED: Final = 1
CONFIGURATION: Final = 2
NOT_BOUND: Final = 4


def serve(site: Site, read_site: ReadSite, launch: Launch) -> int:
    """Serve until stopped. Returns the exit code; what keeps it from starting goes to stderr."""
    inherited, notifier = Inherited.take(os.environ), Notifier(os.environ)
    pidfile = PidFile(site.pidfile) if site.pidfile is not None else None
    try:
        if pidfile is not None:
            pidfile.take()
        try:
            shared = Shared.prepare(site, inherited)
            for name in inherited.left_over():
                notifier.forget(name)
            return Master(site, shared, read_site, launch, inherited=inherited, notifier=notifier).run()
        finally:
            if pidfile is not None:
                pidfile.release()
    except BindError as error:
        return _refuse(error, NOT_BOUND)
    except (LogTargetError, PrivilegeError) as error:
        return _refuse(error, CONFIGURATION)
    except (PidFileError, OSError) as error:
        return _refuse(error, FAILED)


def _refuse(error: Exception, code: int) -> int:
    print(f"superwsgi: {error}", file=sys.stderr)
    return code
