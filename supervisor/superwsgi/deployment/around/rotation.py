"""logrotate(8) for the log files of a site; what goes to stdout and stderr is rotated by whoever reads it."""

from __future__ import annotations

import shlex

from superwsgi.config.errors import ConfigError, Problem
from superwsgi.deployment.installation import DYNAMIC, ROOT, Installation
from superwsgi.deployment.text import escaping
from superwsgi.deployment.text.filling import Value, filled


def logrotate(place: Installation, group: str | None) -> str:
    """`group` is that of the site's user. Raises ConfigError where no log is a file."""
    log = place.site.log
    files = [
        each for each in (log.access, log.error) if each.startswith("/") and not each.startswith("/dev/")
    ]
    if not files:
        hint = "set log: {access: …, error: …}, or leave it to journald or the container"
        raise ConfigError([Problem(None, "the site writes no log files that could be rotated", hint)])
    values: dict[str, Value] = {
        "name": place.site.name,
        "files": "\n".join(escaping.logrotate(each) for each in dict.fromkeys(files)),
        "su": f"{place.user} {group}" if group is not None and place.user not in (DYNAMIC, ROOT) else None,
        "command": shlex.join([*_as_owner(place), *place.command]),
        "site": shlex.quote(place.file),
    }
    return filled("logrotate", values)


def _as_owner(place: Installation) -> list[str]:
    """logrotate runs scripts as root, whatever `su` says: a program that is a user's should not run as that.
    Where the site file names a user the master may be root, who alone may then tell it so."""
    own = place.owner and place.site.user is None and place.user not in (DYNAMIC, ROOT)
    return ["runuser", "-u", place.user, "--"] if own else []
