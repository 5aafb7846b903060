"""Which release of the code a generation runs, for deploys that switch a link (`current`) to the next one.

The Origin is how the master was started, with paths as spelled, whatever becomes of its working folder later.
A Release is where the links led when a generation began. Everything that the generation runs comes from
there: interpreter, working folder and `sys.path`, in all its processes, however late they import something.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from msgspec import Struct

from superwsgi.config.errors import ConfigError
from superwsgi.config.grammar.import_strings import moved, path_of
from superwsgi.config.links import Links, links_in, pin, through_links, working_folder
from superwsgi.config.schema import Site

_SEARCH_PATH = "PYTHONPATH"


@dataclass(frozen=True, slots=True)
class Origin:
    """The working folder and the interpreter of this program, by the links that named them."""

    folder: str
    python: str

    @classmethod
    def of_process(cls, *named: str | None) -> Origin:
        """The origin of this process, which has just been started. The kernel, and scripts of virtual
        environments, name interpreters without links: `named` are paths that may lead to the same release
        through one."""
        try:
            folder = working_folder()
        except ConfigError:  # the rest may do without it
            folder = "/"
        ways = [folder, str(Path(folder, sys.argv[0])), *(path for path in named if path is not None)]
        return cls(folder, through_links(sys.executable, links_in(ways)))


class Release(Struct, frozen=True):
    """`search_path` is $PYTHONPATH, if there is one; `links` are those that were followed."""

    python: str
    search_path: str | None = None
    links: Links = ()

    @classmethod
    def of(cls, site: Site, origin: Origin, environ: Mapping[str, str]) -> Release:
        """The release to which the links lead now."""
        search = {**environ, **site.env}.get(_SEARCH_PATH)
        folders = [str(Path(origin.folder, entry)) for entry in search.split(os.pathsep)] if search else []
        files = filter(None, map(path_of, site.apps.values()))
        sent = [*site.static.values(), *site.sendfile.values()]
        links = links_in([site.chdir, str(Path(origin.python).parent), *folders, *files, *sent])
        pinned = os.pathsep.join(pin(folder, links) for folder in folders) if search else None
        return cls(pin(origin.python, links), pinned, links)

    def pinned(self, site: Site) -> Site:
        """The site with its folders and applications in this release; sockets, logs and the pid file stay as
        spelled."""
        apps = {place: moved(app, lambda path: pin(path, self.links)) for place, app in site.apps.items()}
        static, sendfile = (
            {prefix: pin(folder, self.links) for prefix, folder in named.items()}
            for named in (site.static, site.sendfile)
        )
        chdir = pin(site.chdir, self.links)
        return msgspec.structs.replace(site, chdir=chdir, apps=apps, static=static, sendfile=sendfile)

    def environ(self, site: Site) -> dict[str, str]:
        """The environment of the site's processes."""
        search = {} if self.search_path is None else {_SEARCH_PATH: self.search_path}
        return {**os.environ, **site.env, **search}
