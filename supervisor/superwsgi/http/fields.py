"""Field names and values: the grammar of RFC 9110 section 5, and how names are converted in each direction.

Names are few and recur, so results are kept; that memory is bounded, because clients and applications choose
the names.
"""

from __future__ import annotations

import re
from typing import Any, Final

from superwsgi.http.claims import UNDERSTOOD, SiteClaims, is_claim, is_spelled
from superwsgi.http.errors import HttpError, WsgiError

# RFC 9110 section 5.6.2: token
TOKEN: Final = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
# RFC 9110 section 5.5: field-value; no control characters except tab, latin-1 like all of WSGI
VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

# RFC 9110 section 7.6.1 and PEP 3333 "Other HTTP Features": always the server's own business
HOP_BY_HOP: Final = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)

REQUEST_START: Final = "HTTP_X_REQUEST_START"
"""When a proxy in front got the request (client/request_start.py)."""

FORWARDED_PREFIX: Final = "HTTP_X_FORWARDED_PREFIX"
"""What a proxy has taken from the path (client/prefix.py)."""

_REMEMBERED: Final = 1024
_USUAL: Final = 64
"""Characters, at most, of names that are worth remembering."""


class EnvironKeys:
    """Field name → key in the environ; empty for a name that the application must not see.

    `X_Y` and `X-Y` would become the same key, so that a client could pose as a trusted proxy; `Proxy` would
    become HTTP_PROXY, which HTTP client libraries obey (CVE-2016-5385). `believed`: whether these fields come
    from a trusted peer. `named` are those that the site names: a believed one has its key, with `_` in its
    name or not, and anything that would have the same key is refused. `prefixed`: X-Forwarded-Prefix is
    understood, too. `known` has recent names; `claimed`: one of UNDERSTOOD has ever come; `timed`: so has
    X-Request-Start.
    """

    __slots__ = ("_believed", "_named", "_prefixed", "claimed", "known", "timed")

    def __init__(self, *, believed: bool, named: SiteClaims | None = None, prefixed: bool = False) -> None:
        self._believed = believed
        self._named = named
        self._prefixed = prefixed
        self.claimed = self.timed = False
        self.known: dict[str, str] = {}

    def learn(self, name: str) -> str:
        """The key for a name. Raises HttpError if it is not a field name."""
        known = self.known.get(name)
        if known is not None:
            return known
        if not TOKEN.fullmatch(name):
            raise HttpError(400, "invalid field name")
        key = self._key(name.lower())
        if key == REQUEST_START:  # and never set back, which another thread may be about to set
            self.timed = True
        if name.lower() in UNDERSTOOD:
            self.claimed = True
        if len(name) <= _USUAL:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()  # clients choose the names; those in use soon return
            self.known[name] = key
        return key

    def is_told(self, lower: str) -> bool:
        """Whether to say so if a field of this name, in lower case, is left out: it may be a proxy's."""
        if self._believed:
            return "_" in lower
        if lower in UNDERSTOOD or (self._prefixed and lower == "x-forwarded-prefix"):
            return True
        return self._named is not None and bool(self._named.pattern(lower))

    def check_single(self, name: str) -> None:
        """Raise HttpError if a second field with the key of this one is ambiguous."""
        pattern = "" if self._named is None else self._named.pattern(name.lower())
        if pattern:
            raise HttpError(400, "a field of proxy.fields twice", remedy=_remedy(pattern))

    def _key(self, lower: str) -> str:
        pattern = "" if self._named is None else self._named.pattern(lower)
        if pattern and self._believed:
            if not is_spelled(lower, pattern):
                raise HttpError(400, "a field of proxy.fields in another spelling", remedy=_remedy(pattern))
            return "HTTP_" + lower.upper().replace("-", "_")
        if pattern:
            return ""
        if "_" in lower or lower == "proxy" or (not self._believed and is_claim(lower)):
            return ""
        upper = lower.upper().replace("-", "_")
        return upper if upper in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{upper}"


def _remedy(pattern: str) -> str:
    return (
        f"it is spelled {pattern} there, in any case, and comes once: have the proxy set it so, and remove "
        "what clients send that differs in - and _ alone"
    )


FROM_TRUSTED: Final = EnvironKeys(believed=True)
FROM_OTHERS: Final = EnvironKeys(believed=False)


class ResponseNames(dict[str, str]):
    """A response field's name → the name in lower case. Raises WsgiError if it is not a field name."""

    def __missing__(self, name: str) -> str:
        if not TOKEN.fullmatch(name):
            raise WsgiError(f"not a field name: {name!r}")
        lower = name.lower()
        if len(self) < _REMEMBERED:
            self[name] = lower
        return lower


def check_value(name: str, value: str) -> None:
    """Raise WsgiError if `value` cannot be a response field's value."""
    if not VALUE.fullmatch(value):
        raise WsgiError(f"control or non-latin-1 character in the value of {name}: {value!r}")


def exact(text: Any) -> str | None:
    """`text` as a plain str, character for character; None if it is not a str.

    A subclass (an enum's member, Django's SafeString) may print differently, compare as it likes, and change
    its mind. So it is copied before anything looks at it, without asking it: join() reads characters.
    """
    if type(text) is str:
        return text
    return "".join((text,)) if issubclass(type(text), str) else None  # isinstance() asks the object


def exact_field(field: Any) -> tuple[str, str]:
    """Name and value of a response field, from a pair that may be a tuple, a list or the like; iterated once.

    Raises WsgiError if it is not a pair of texts."""
    pair = () if issubclass(type(field), str) else tuple(field)
    if len(pair) != 2:
        raise WsgiError(f"not a field, a tuple of name and value: {field!r}")
    name, value = exact(pair[0]), exact(pair[1])
    if name is None:
        raise WsgiError(f"not a field name: {pair[0]!r}")
    if value is None:
        raise WsgiError(f"the value of {name} is {type(pair[1]).__name__}, not str")
    return name, value
