"""Loading for a check: the application, its hooks and its warm-up pages, so that none that fails hides
another; and what that takes. Runs in a mold that serves nobody.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import fields

from superwsgi import unpatched
from superwsgi.apps import AppError
from superwsgi.apps.types import WSGIApp
from superwsgi.config.schema import Site
from superwsgi.log.error import ErrorLog
from superwsgi.log.frames import application_traceback
from superwsgi.messages import Footprint, LoadTrouble, Tried
from superwsgi.system import procfs
from superwsgi.worker import forks, hazards
from superwsgi.worker.boot.loading import prometheus
from superwsgi.worker.boot.loading.application import Unloadable, freeze, load_apps
from superwsgi.worker.boot.loading.hooks import Hook, Hooks
from superwsgi.worker.boot.loading.warmup import failing


def try_out(site: Site, errors: ErrorLog, began: float) -> Tried:
    """Load all of it; `began` is when that was begun, in monotonic seconds."""
    empty = _footprint()
    prometheus.begin(site, errors, importing=True)
    before = hazards.now()
    with hazards.recorded() as places:
        troubles = list(_troubles(site, errors))
    found = hazards.examine(before, places)
    prometheus.tell_if_unused(site, errors)
    if not found:
        prometheus.remove_files()
        prometheus.count(site)
    freeze()
    forked = None if found or troubles else _fork()
    took = time.monotonic() - began
    return Tried(took, found, troubles, empty, _footprint(), forked, dict(_folders(site)))


def _troubles(site: Site, errors: ErrorLog) -> Iterator[LoadTrouble]:
    app = None
    try:
        app = load_apps(site)
    except Unloadable as error:
        yield from _of_apps(error)
    for each in fields(Hooks):
        text = getattr(site.hooks, each.name)
        try:
            if text is not None:
                Hook(f"hooks.{each.name}", text)
        except Unloadable as error:
            yield LoadTrouble(f"hooks.{each.name}", error.reason, error.detail)
    if app is not None:
        yield from _cold(site, app, errors)


def _of_apps(error: Unloadable) -> Iterator[LoadTrouble]:
    """Of each by itself, where it is said which of several they are."""
    cause = error.__context__
    several = cause.each if isinstance(cause, AppError) and len(cause.each) > 1 else {}
    for place, own in several.items():
        alone = Unloadable(own.reason, own.detail)
        yield LoadTrouble(f"apps {place}", alone.reason, alone.detail)
    if not several:
        yield LoadTrouble("apps", error.reason, error.detail)


def _cold(site: Site, app: WSGIApp, errors: ErrorLog) -> Iterator[LoadTrouble]:
    """Pages that fail: a start goes on unless all of them do."""
    failures = list(failing(site, app, errors))
    harmless = len(failures) < len(site.warmup)
    for each in failures:
        detail = "" if each.error is None or harmless else application_traceback(each.error)
        yield LoadTrouble("warmup", f"warmup: {each}", detail, harmless)


def _footprint() -> Footprint | None:
    found = procfs.own_memory()
    return None if found is None else Footprint(*found)


def _fork() -> int | None:
    """What a fork of this process has of its own, in bytes, before it does anything."""
    hearing, telling = os.pipe()
    try:
        forks.run_in_child(lambda: _tell_own(telling))
        unpatched.close(telling)
        with open(hearing, "rb") as said:
            text = said.read()
        return int(text) if text else None
    except OSError:  # no room for another process
        return None


def _tell_own(telling: int) -> int:
    found = procfs.own_memory()
    os.write(telling, b"" if found is None else b"%d" % found[2])
    return 0


def _folders(site: Site) -> Iterator[tuple[str, tuple[str, str]]]:
    """What this user may do in the folders that applications use."""
    yield "chdir", (site.chdir, _rights(site.chdir))
    home = os.environ.get("HOME")
    if home is not None:
        yield "home", (home, _rights(home))
    yield "temporary files", _temporary()


def _rights(folder: str) -> str:
    """As `ls -l` has them."""
    asked = ((os.R_OK, "r"), (os.W_OK, "w"), (os.X_OK, "x"))
    return "".join(letter if os.access(folder, right) else "-" for right, letter in asked)


def _temporary() -> tuple[str, str]:
    try:
        folder = tempfile.gettempdir()
    except FileNotFoundError:  # none of those that it looks in can be written to
        return os.environ.get("TMPDIR", "/tmp"), "---"
    return folder, _rights(folder)
