"""The application's surroundings (user, working folder, search path), and its import."""

from __future__ import annotations

import contextlib
import gc
import os
import site as interpreter
import sys

from superwsgi import apps, build, extras
from superwsgi.apps.types import WSGIApp
from superwsgi.config.links import Links, pin
from superwsgi.config.schema import Site
from superwsgi.files import folders
from superwsgi.log.error import ErrorLog
from superwsgi.log.spelling import encodable
from superwsgi.messages import DETAIL_LIMIT, REASON_LIMIT
from superwsgi.system.privileges import PrivilegeError, drop, log_in
from superwsgi.worker.forks import staying


class Unloadable(Exception):
    """The generation cannot serve: one line of reason, and the text of the traceback if there is one;
    `locked` if it failed on something that another process holds."""

    def __init__(self, reason: str, detail: str = "", *, locked: bool = False) -> None:
        super().__init__(reason)
        self.locked = locked
        self.reason = encodable(reason)[:REASON_LIMIT]
        self.detail = encodable(detail)[-DETAIL_LIMIT:]


def settle(site: Site, links: Links, search_path: str | None = None) -> None:
    """Take the user, group, mask and working folder of the site file, as far as that has not been done; put
    the folder on sys.path, and pin all of sys.path to one release, whatever becomes of the links.

    An isolated interpreter was executed by root and gets the site's environment only now; `search_path` is
    the release's $PYTHONPATH. Raises Unloadable.
    """
    try:
        drop(site.user, site.group, site.umask)
        if sys.flags.isolated:
            _end_isolation(site, search_path)
        log_in(site.user, os.environ, site.env)
        os.chdir(site.chdir)
    except PrivilegeError as error:
        raise Unloadable(str(error)) from None
    except OSError as error:
        raise Unloadable(f"chdir {site.chdir}: {error.strerror}") from None
    sys.path[:] = [pin(folder, links) for folder in sys.path]
    if site.chdir not in sys.path:
        sys.path.insert(0, site.chdir)


def _end_isolation(site: Site, search_path: str | None) -> None:
    """Do what the interpreter would have done at its start."""
    os.environ.update(site.env)
    if search_path is not None:
        os.environ["PYTHONPATH"] = search_path
        sys.path[:0] = filter(None, search_path.split(os.pathsep))
    interpreter.main()


def load_apps(site: Site) -> WSGIApp:
    """Import the site's applications, with the files of `static` and `sendfile` around them. Raises
    Unloadable."""
    missing = [str(problem) for problem in folders.unusable(site)]
    if missing:
        raise Unloadable("; ".join(missing))
    try:
        with staying():
            return _wrapped(apps.load_all(site.apps), site)
    except apps.AppError as error:
        raise Unloadable(str(error), error.detail, locked=error.locked) from None


def _wrapped(app: WSGIApp, site: Site) -> WSGIApp:
    """Imports what sends files only where a site has such."""
    if site.sendfile:
        from superwsgi.files.sendfile import Sendfile

        app = Sendfile(app, site.sendfile).answer
    if site.static:
        require(extras.STATIC, site)
        from superwsgi.files.known import Knowledge
        from superwsgi.files.static import StaticFiles

        app = StaticFiles(app, site.static, Knowledge().fields).answer
    return app


def require(extra: extras.Extra, site: Site) -> None:
    """Raises Unloadable where the site needs an extra that this interpreter does not find."""
    problem = extra.lacking(site)
    if problem is not None:
        raise Unloadable(f"{problem}; packages are looked for in {sys.prefix}")


def reseed() -> None:
    """After a fork: make the workers' random numbers differ. random, secrets, uuid, ssl and hashlib do that
    on their own; NumPy's global generator would draw the same numbers in every worker."""
    numbers = sys.modules.get("numpy.random")
    if numbers is not None:
        with contextlib.suppress(Exception):  # a replacement by the application may have no seed
            numbers.seed()


def freeze() -> None:
    """What has been loaded stays: later garbage collections need not look at it (that cost a Flask hello 15 %
    of its time), and after a fork they do not touch, and so copy, its pages."""
    gc.collect()
    gc.freeze()


def tell_threads(errors: ErrorLog) -> None:
    """Of a free-threaded interpreter: whether the application's threads compute at the same time, as its
    packages have now been imported."""
    if not build.is_free_threaded():
        return
    if build.has_gil():
        errors.notice(
            "threads take turns",
            python=build.python(),
            reason="a package that was imported needs the GIL, or PYTHON_GIL=1",
            next="Python's RuntimeWarning names the package: look for a newer one",
        )
    else:
        errors.info("threads compute at the same time", python=build.python())
