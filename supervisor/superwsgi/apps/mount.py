"""Several applications behind one: by host name, then by path prefix, the longest first.

A prefix matches whole segments: `/admin` takes `/admin` and `/admin/users`, not `/administrator`. What it
took moves from PATH_INFO to SCRIPT_NAME (PEP 3333), so each application builds right URLs of itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

from superwsgi.apps.types import Environ, StartResponse, WSGIApp

_NOT_FOUND: Final = b"404: no application is mounted here\n"


class _Route(NamedTuple):
    prefix: str
    below: str  # the prefix with a slash
    app: WSGIApp


def mount(apps: Mapping[str, WSGIApp]) -> WSGIApp:
    """One application out of those in `apps`, by keys such as `/`, `/admin`, `api.example.com/v1`.

    The keys are as `superwsgi.config.text.import_strings.mount` spells them.
    """
    if list(apps) == ["/"]:
        return apps["/"]
    routes = _routes(apps)
    for_any_host = routes.pop("", ())

    def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        route = _match(routes.get(_host(environ), ()), path) or _match(for_any_host, path)
        if route is None:
            return _not_found(start_response)
        if route.prefix:
            environ["SCRIPT_NAME"] = environ.get("SCRIPT_NAME", "") + route.prefix
            environ["PATH_INFO"] = path[len(route.prefix) :]
        return route.app(environ, start_response)

    return application


def _match(routes: tuple[_Route, ...], path: str) -> _Route | None:
    for route in routes:
        if not route.prefix or path == route.prefix or path.startswith(route.below):
            return route
    return None


def _host(environ: Environ) -> str:
    """The name in the Host field as keys have it: no port, lower case, no final dot."""
    return _without_port(environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")).lower().removesuffix(".")


def _without_port(authority: str) -> str:
    if authority.startswith("["):  # an IPv6 address: RFC 3986, section 3.2.2
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]


def _not_found(start_response: StartResponse) -> Iterable[bytes]:
    headers = [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(_NOT_FOUND)))]
    start_response("404 Not Found", headers)
    return [_NOT_FOUND]


def _routes(apps: Mapping[str, WSGIApp]) -> dict[str, tuple[_Route, ...]]:
    """By host (empty: any), the longest prefix first; the prefix `/` is empty."""
    found: dict[str, list[_Route]] = {}
    for key, app in apps.items():
        host, slash, rest = key.partition("/")
        prefix = (slash + rest).rstrip("/").encode("utf-8").decode("latin-1")  # as PATH_INFO has it
        found.setdefault(host.lower(), []).append(_Route(prefix, prefix + "/", app))
    return {host: tuple(sorted(routes, key=_by_length, reverse=True)) for host, routes in found.items()}


def _by_length(route: _Route) -> int:
    return len(route.prefix)
