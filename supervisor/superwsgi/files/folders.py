"""Whether the folders of `static` and `sendfile` can be used. Found out at a start, a reload and by
`superwsgi check`, and by each mold as the site's user.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from superwsgi.config.errors import ConfigError, Problem
from superwsgi.config.schema import Site


def require(site: Site) -> None:
    """Raises ConfigError. Folders that `rollout.before` may make are only looked at once that has run."""
    problems = [] if site.rollout.before is not None else list(unusable(site))
    if problems:
        raise ConfigError(problems)


def unusable(site: Site) -> Iterator[Problem]:
    """Those that this process cannot use, and why."""
    for key, named in (("static", site.static), ("sendfile", site.sendfile)):
        for prefix, folder in named.items():
            problem = _problem(folder)
            if problem:
                yield Problem(None, f"{key}: {prefix}: {folder}: {problem[0]}", problem[1])


def _problem(folder: str) -> tuple[str, str] | None:
    try:
        mode = os.stat(folder).st_mode
    except FileNotFoundError:
        return "there is no such folder", "make it, or mend its path, which starts at the site file's folder"
    except OSError as error:
        return str(error.strerror), "let the site's user enter the folders above it"
    if not stat.S_ISDIR(mode):
        return "it is a file, not a folder", "name the folder that it is in"
    if not os.access(folder, os.X_OK, effective_ids=True):
        return "Permission denied", "let the site's user enter it (chmod o+x, or its group)"
    return None
