"""What keys such as `/`, `/admin`, `api.example.com/v1` stand for: by host name, then by path prefix, the
longest first. A prefix matches whole segments: `/admin` takes `/admin` and `/admin/users`, not
`/administrator`.

The keys are as `superwsgi.config.grammar.import_strings.mount` spells them, paths as PATH_INFO has them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Generic, TypeVar

from superwsgi.apps.types import Environ

T = TypeVar("T")


class Routes(Generic[T]):
    """Those of a host come before those of any. `by_host`: whether the host makes a difference."""

    def __init__(self, by_key: Mapping[str, T]) -> None:
        found: dict[str, list[tuple[str, str, T]]] = {}
        for key, value in by_key.items():
            host, slash, rest = key.partition("/")
            prefix = (slash + rest).rstrip("/").encode("utf-8").decode("latin-1")  # as PATH_INFO has it
            found.setdefault(host.lower(), []).append((prefix, prefix + "/", value))
        for routes in found.values():
            routes.sort(key=lambda route: len(route[0]), reverse=True)
        self._for_any_host = found.pop("", [])
        self._by_host = found
        self.by_host = bool(found)

    def find(self, host: str, path: str) -> tuple[str, T] | None:
        """The prefix, which is empty for `/`, and what it stands for."""
        return _match(self._by_host.get(host, ()), path) or _match(self._for_any_host, path)

    def all(self, host: str) -> list[T]:
        """Whatever a path on that host may find."""
        return [value for _, _, value in (*self._by_host.get(host, ()), *self._for_any_host)]


def host_of(environ: Environ) -> str:
    """The name in the Host field as keys have it: no port, lower case, no final dot."""
    return _without_port(environ.get("HTTP_HOST") or environ.get("SERVER_NAME", "")).lower().removesuffix(".")


def _without_port(authority: str) -> str:
    if authority.startswith("["):  # an IPv6 address: RFC 3986, section 3.2.2
        return authority.partition("]")[0] + "]"
    return authority.partition(":")[0]


def _match(routes: Sequence[tuple[str, str, T]], path: str) -> tuple[str, T] | None:
    for prefix, below, value in routes:
        if not prefix or path == prefix or path.startswith(below):
            return prefix, value
    return None
