"""The application of a site that is being developed: the project's own, and around it what only developers
want. The master imports none of it, and a site that is served has nothing of it: the site of `superwsgi dev`
names `application` here as its application, and a shared file has those of the project.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from superwsgi.apps import AppError, load_all
from superwsgi.apps.types import Environ, StartResponse, WSGIApp
from superwsgi.development import names, shared
from superwsgi.development.inside import page
from superwsgi.development.inside.frameworks import completed
from superwsgi.development.inside.fresh import trust_no_new_bytecode
from superwsgi.development.inside.guarding import Guarded
from superwsgi.development.shared import Breakage, Newest, Settings


def application() -> WSGIApp:
    """The project's application as developers want it. Raises AppError if it does not load and an older
    version serves; if there is none, this one says why."""
    folder = Path(os.environ[names.VARIABLE])
    settings = shared.read(folder, names.SETTINGS, Settings)
    assert settings is not None, "written before any process of the site is started"
    trust_no_new_bytecode()
    if not settings.load:
        return Developed(folder, 0, None)
    loaded_at = time.time_ns()
    try:
        app = completed(load_all(settings.apps))
    except AppError as error:
        failure = Breakage.now(error.reason, error.detail)
        shared.write(folder, names.ATTEMPT, failure)
        if settings.older:
            raise
        return Developed(folder, loaded_at, None, failure)
    return Developed(folder, loaded_at, Guarded(app, settings))


class Developed:
    """An application whose pages make room for what is wrong with newer code. Without one all say so, or
    what was its own `failure`."""

    def __init__(
        self, folder: Path, loaded_at: int, app: WSGIApp | None, failure: Breakage | None = None
    ) -> None:
        self._failure = failure
        self._folder = folder
        self._loaded_at = loaded_at
        self._app = app

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        environ["wsgi.errors"] = sys.stderr  # as it is written, and where the rest of the output goes
        failure = self._newer_failure()
        if page.is_navigation(environ) and self._is_old():
            return page.again(environ, start_response)
        if environ.get("PATH_INFO") == names.STATE:
            at = str(failure.at) if failure is not None else ""
            return page.answer(start_response, "200 OK", at.encode(), kind="text/plain")
        if failure is not None and page.is_navigation(environ):
            shown = page.broken(failure, environ.get("SCRIPT_NAME", ""), serves=self._app is not None)
            return page.answer(start_response, "500 Internal Server Error", shown)
        if self._app is None:
            return _refuse(start_response, failure)
        return self._app(environ, start_response)

    def _is_old(self) -> bool:
        """Whether newer code serves, and this process only answers what came in before."""
        newest = shared.read(self._folder, names.NEWEST, Newest)
        return newest is not None and newest.at > self._loaded_at and newest.pid != os.getpid()

    def _newer_failure(self) -> Breakage | None:
        """What is wrong with code that is newer than this, or with this."""
        failure = shared.read(self._folder, names.FAILURE, Breakage)
        return failure if failure is not None and failure.at > self._loaded_at else self._failure


def _refuse(start_response: StartResponse, failure: Breakage | None) -> Iterable[bytes]:
    """Where there is no version that runs."""
    why = "it is being loaded" if failure is None else f"{failure.reason}\n\n{failure.detail}"
    text = f"The application does not run: {why.rstrip()}\n".encode("utf-8", "backslashreplace")
    again = ("Retry-After", "1")
    return page.answer(start_response, "503 Service Unavailable", text, again, kind="text/plain")
