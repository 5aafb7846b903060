"""Where a site is below the root of its host: `root` in a site file, and what trusted proxies have taken from
the path (X-Forwarded-Prefix). It becomes SCRIPT_NAME, and PATH_INFO is what follows.

A proxy in front decides by the path who may ask for what, so both of us have to read it alike: `/subway` is
not below `/sub`, and whatever is for one reader and not for another (`//sub`, `/sub/../x`, `/sub;x`,
`/sub%2Fx`, what was encoded twice) is refused. A proxy passes on the whole path, or says what it has taken:
then that counts as if it was still there. A path that is not below the root is nobody's: were it taken for
one whose root was stripped, `/sub/sub/x` and `/sub/x` could be the same page, and only one of them forbidden.

Health checks are asked by who speaks to this server itself, so they are answered without the root, too.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import unquote

from superwsgi.http.client.prefix import read_prefix
from superwsgi.http.errors import HttpError
from superwsgi.http.fields import FORWARDED_PREFIX
from superwsgi.http.request.head import Request
from superwsgi.http.request.rules import is_plain, readings

_REMEMBERED: Final = 1024
_USUAL: Final = 256
"""Characters, at most, of paths that are worth remembering."""

_SLASH: Final = 47
_CLIMBING: Final = re.compile(r"\.\.|[%\x00-\x1f\x7f]")
"""Without any of these no reading of a path leads out of where it begins."""

_OUTSIDE: Final = "not below the root of this site"
_AMBIGUOUS: Final = "a path that some would read as below the root of this site, and others would not"


class Root:
    """`script_name` is that of the site file, empty if there is none; `prefixed`: trusted peers may say what
    they have taken from the path; `checks` are the health paths."""

    def __init__(self, script_name: str, *, prefixed: bool = False, checks: Iterable[str] = ()) -> None:
        self._script_name = script_name
        self._prefixed = prefixed
        self._usual = _Divider(script_name, script_name, {})
        self._looked_up: dict[str, dict[str, int]] = {}  # by what is left of the root, for all dividers
        self._dividers: dict[tuple[str, int], _Divider] = {}
        self._checks = frozenset(checks)

    def enter(self, request: Request, hops: int) -> None:
        """Divide the path of a request that has come through so many trusted peers into SCRIPT_NAME and
        PATH_INFO. Raises HttpError."""
        environ = request.environ
        if request.target == b"*":  # the site as a whole
            environ["SCRIPT_NAME"] = self._script_name
            return
        divider = self._usual
        if hops and self._prefixed:
            said = environ.get(FORWARDED_PREFIX)
            if said is not None:
                divider = self._said_by_proxies(said, hops)
        path: str = environ["PATH_INFO"]
        taken = divider.taken(path, request.origin)
        if taken < 0:
            if taken == _NOWHERE and path in self._checks:
                return
            raise self._outside() if taken == _NOWHERE else HttpError(400, _AMBIGUOUS)
        environ["SCRIPT_NAME"] = divider.script_name
        if taken:
            environ["PATH_INFO"] = path[divider.size :]
            if request.target[0] == _SLASH:
                request.page = request.origin[taken:]

    def _said_by_proxies(self, said: str, hops: int) -> _Divider:
        key = said, hops
        divider = self._dividers.get(key)
        if divider is None:
            divider = self._below(read_prefix(said, hops))
            if len(self._dividers) >= _REMEMBERED:
                self._dividers.clear()
            self._dividers[key] = divider
        return divider

    def _below(self, prefix: str) -> _Divider:
        """What is left to be taken: nothing of the root that is in the prefix already."""
        root = self._script_name
        if _is_below(root, prefix):
            return self._divider(root, root[len(prefix) :])
        if _is_below(prefix, root):
            return self._divider(prefix, "")
        return self._divider(prefix + root, root)

    def _divider(self, script_name: str, rest: str) -> _Divider:
        return _Divider(script_name, rest, self._looked_up.setdefault(rest, {}))

    def _outside(self) -> HttpError:
        root = self._script_name.encode("latin-1").decode()
        advice = f"root is {root}: have the proxy in front pass on paths as they come, or say what it takes "
        advice += "from them, by X-Forwarded-Prefix, and here proxy: {prefix: on}"
        return HttpError(404, _OUTSIDE, remedy=advice)


_NOWHERE: Final = -1
_UNCERTAIN: Final = -2


class _Divider:
    """`script_name`, of which the last `size` characters are still at the beginning of the path. `known` is
    for recent paths: what is found there depends on `rest` alone, of which there are few."""

    def __init__(self, script_name: str, rest: str, known: dict[str, int]) -> None:
        self.script_name = script_name
        self.size = len(rest)
        self._rest = rest
        self._known = known

    def taken(self, path: str, origin: bytes) -> int:
        """How many bytes of `origin`, a target whose decoded path is `path`, are to be taken; _NOWHERE if the
        path begins with something else, _UNCERTAIN if somebody may read it so."""
        if not self.size:
            return 0
        if b"%" in origin:
            return self._look(path, origin.partition(b"?")[0].decode("latin-1"))
        found = self._known.get(path)
        if found is None:
            found = self._look(path, path)
            if len(path) <= _USUAL:
                if len(self._known) >= _REMEMBERED:
                    self._known.clear()  # clients choose the paths; those in use soon return
                self._known[path] = found
        return found

    def _look(self, path: str, spelled: str) -> int:
        """The same for a path and its spelling in the target."""
        if not is_plain(path):
            uncertain = self._doubt(path)
            if uncertain:
                return uncertain
        elif not _is_below(path, self._rest):
            return _NOWHERE
        end = _end_of_segment(spelled, self._rest.count("/"))
        return end if unquote(spelled[:end], "latin-1") == self._rest else _UNCERTAIN

    def _doubt(self, path: str) -> int:
        """0 if the path is below, and what follows is read there as in the whole; else the reason against."""
        rest = self._rest
        read = readings(path)
        if read is None:  # too long to be read in all ways
            return 0 if _is_below(path, rest) and not _CLIMBING.search(path) else _UNCERTAIN
        below = [each[self.size :] for each in read if _is_below(each, rest)]
        if not below:
            return _NOWHERE
        if len(below) < len(read) or {*below} != {*(readings(path[self.size :]) or ())}:
            return _UNCERTAIN
        return 0


def _is_below(path: str, root: str) -> bool:
    return path.startswith(root) and (len(path) == len(root) or path[len(root)] == "/")


def _end_of_segment(path: str, number: int) -> int:
    """Where the segment with this number, from 1, ends."""
    at = 0
    for _ in range(number):
        at = path.find("/", at + 1)
        if at < 0:
            return len(path)
    return at
