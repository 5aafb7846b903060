"""Rules by path (`paths` in a site file): what holds for a request in the place of what holds for the site.

A path is compared as an application sees it, in PATH_INFO: decoded, whatever the method and without the
query. One that might mean another page to somebody (`//reports`, `/a/../reports`, `/reports;x`, what was
encoded twice) gets what is strictest of all that it may mean: so nobody escapes a rule by another spelling,
and nobody gets a larger limit.

Rules are chosen once the head is complete, since a limit of the body has to be known before the body comes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from superwsgi.apps.routes import Routes, host_of
from superwsgi.apps.types import Environ

_SEGMENT: Final = r"(?!\.{1,2}(?:/|\Z))[^/\\%;?#\x00-\x1f\x7f]+"
_PLAIN: Final = re.compile(rf"(?:/{_SEGMENT})*/?")
"""What nobody reads in another way: no dot segments (RFC 3986 section 5.2.4), empty segments, backslashes,
parameters, no second encoding, no control characters."""

LONGEST: Final = 1024
MOST: Final = 32
"""Characters of a path that is read in all ways, and how many these may be: that takes some milliseconds at
the most. Beyond it, it may mean anything."""

_REMEMBERED: Final = 1024
_USUAL: Final = 256
"""Characters, at most, of hosts with paths whose rule is remembered."""


class Gate:
    """At most `most` requests of a rule are in the application at once: `running` are, and `waiting` are in
    the queue. `key` is that of the site file, `number` its rule's place there, from 1. Changed by the queue
    alone, under its lock."""

    __slots__ = ("key", "most", "number", "running", "waiting")

    def __init__(self, key: str, number: int, most: int) -> None:
        self.key = key
        self.number = number
        self.most = most
        self.running = 0
        self.waiting = 0

    @property
    def room(self) -> int:
        """How many more may begin."""
        return self.most - self.running


class RequestRule:
    """What holds for some requests. `request` and `slow` are ns; `body` is bytes, sys.maxsize where there is
    no limit; `logged` is None where log.skip and log.sample decide. `request_key` and `body_key` are the keys
    of the site file that say so."""

    __slots__ = ("body", "body_key", "first_look", "gates", "logged", "request", "request_key", "slow")

    def __init__(
        self,
        *,
        request: tuple[int, str],
        slow: int,
        body: tuple[int, str],
        logged: bool | None = None,
        gates: tuple[Gate, ...] = (),
    ) -> None:
        self.request, self.request_key = request
        self.slow = slow
        self.first_look = min(self.request, slow)
        self.body, self.body_key = body
        self.logged = logged
        self.gates = gates


class Rules:
    """`by_key` has those of the site file, `site_wide` is what holds elsewhere."""

    def __init__(self, by_key: Mapping[str, RequestRule], site_wide: RequestRule) -> None:
        self._routes = Routes(by_key)
        self._site_wide = site_wide
        self._known: dict[str, RequestRule] = {}

    def find(self, environ: Environ) -> RequestRule | None:
        """The one for a request whose head is complete, None where that is what holds for the site."""
        path: str = environ["PATH_INFO"]
        key = path
        if self._routes.by_host:
            host: str = environ.get("HTTP_HOST") or environ["SERVER_NAME"]
            key = host + path  # no host has a slash
        rule = self._known.get(key)
        if rule is None:
            rule = strictest(self._candidates(host_of(environ), path))
            if len(key) <= _USUAL:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()  # clients choose the paths; those in use soon return
                self._known[key] = rule
        return None if rule is self._site_wide else rule

    def _candidates(self, host: str, path: str) -> list[RequestRule]:
        """The rules of all pages that a path may mean."""
        paths = [path] if is_plain(path) else readings(path)
        if paths is None:
            return [*self._routes.all(host), self._site_wide]
        return [self._of(host, each) for each in paths]

    def _of(self, host: str, path: str) -> RequestRule:
        found = self._routes.find(host, path)
        return self._site_wide if found is None else found[1]


def is_plain(path: str) -> bool:
    """Whether nobody reads it in another way; the empty path is plain, too."""
    return _PLAIN.fullmatch(path) is not None


def strictest(rules: Sequence[RequestRule]) -> RequestRule:
    """What none of `rules`, of which there is one at least, allows to exceed; in the log is what has to be by
    any of them."""
    first = rules[0]
    if len({*rules}) == 1:
        return first
    gates = dict.fromkeys([gate for rule in rules for gate in rule.gates])
    logged = [rule.logged for rule in rules]
    return RequestRule(
        request=min([(rule.request, rule.request_key) for rule in rules]),
        slow=min([rule.slow for rule in rules]),
        body=min([(rule.body, rule.body_key) for rule in rules]),
        logged=True if True in logged else None if None in logged else False,
        gates=tuple(gates),
    )


def readings(path: str) -> list[str] | None:
    """Every path that this one may mean to somebody, itself first, whatever is done to it and in whatever
    order; None for any."""
    if len(path) > LONGEST:
        return None
    found = [path]
    at = 0
    while at < len(found):
        for read in _WAYS:
            other = read(found[at])
            if other not in found:
                found.append(other)
        if len(found) > MOST:
            return None
        at += 1
    return found


# How a path may be read.


def _decoded_again(path: str) -> str:
    return unquote_to_bytes(path.encode("latin-1")).decode("latin-1") if "%" in path else path


def _with_slashes(path: str) -> str:
    return path.replace("\\", "/")


def _before_the_query(path: str) -> str:
    return _QUERY.split(path, 1)[0]


def _without_parameters(path: str) -> str:
    return _PARAMETERS.sub("", path)


def _without_controls(path: str) -> str:
    return _CONTROLS.sub("", path)


def _before_null(path: str) -> str:
    return path.partition("\0")[0]


def _with_single_slashes(path: str) -> str:
    return _SLASHES.sub("/", path)


def _without_dots(path: str) -> str:
    """RFC 3986 section 5.2.4."""
    if "/." not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")[1:]
    for segment in segments:
        if segment == "..":
            del kept[-1:]
        elif segment != ".":
            kept.append(segment)
    if segments[-1] in (".", ".."):
        kept.append("")
    return "/" + "/".join(kept)


_QUERY: Final = re.compile("[?#]")
_PARAMETERS: Final = re.compile(";[^/]*")
_CONTROLS: Final = re.compile(r"[\x00-\x1f\x7f]+")
_SLASHES: Final = re.compile("//+")

_WAYS: Final[tuple[Callable[[str], str], ...]] = (
    _decoded_again,
    _with_slashes,
    _before_the_query,
    _without_parameters,
    _without_controls,
    _before_null,
    _with_single_slashes,
    _without_dots,
)
