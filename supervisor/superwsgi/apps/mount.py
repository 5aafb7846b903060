"""Several applications behind one, each at its place (routes.py). What a prefix took moves from PATH_INFO to
SCRIPT_NAME (PEP 3333), so each application builds right URLs of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from superwsgi.apps.routes import Routes, host_of
from superwsgi.apps.types import Environ, StartResponse, WSGIApp

_NOT_FOUND: Final = b"404: no application is mounted here\n"


def mount(apps: Mapping[str, WSGIApp]) -> WSGIApp:
    """One application out of those in `apps`, by keys such as `/`, `/admin`, `api.example.com/v1`."""
    if list(apps) == ["/"]:
        return apps["/"]
    routes = Routes(apps)

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        found = routes.find(host_of(environ), path)
        if found is None:
            return _not_found(start_response)
        prefix, app = found
        if prefix:
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + prefix
            environ["PATH_INFO"] = path[len(prefix) :]
        return app(environ, start_response)

    return application


def _not_found(start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(_NOT_FOUND)))]
    start_response("404 Not Found", headers)
    return [_NOT_FOUND]
