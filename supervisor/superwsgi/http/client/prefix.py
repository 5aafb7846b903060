"""X-Forwarded-Prefix: what proxies have taken from the beginning of the path, for the application to put it
into its links.

Traefik's StripPrefix and Spring's gateway send it by themselves, each adding its own to what is there; nginx,
HAProxy, Caddy and Apache are told to. So of several values each is below the one before it: a client asks for
/a/b/c, the first proxy passes on /b/c and says /a, the second one /c and says /a, /b. More values than there
are trusted proxies on the way would be somebody else's words.

It becomes SCRIPT_NAME, and so a part of links and redirects: what is not plainly a path is refused. `//` at
its beginning would be a host, and what somebody decodes or reads in another way another page.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

from superwsgi.http.errors import HttpError

LONGEST: Final = 1024
"""Characters of the field; nobody mounts anything that deep."""

# Segments of RFC 3986 section 3.3, without what is read in several ways: dot segments, parameters, and
# escapes of ASCII, which nobody needs here.
_SEGMENT: Final = r"(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9._~@:+=-]|%[89A-Fa-f][0-9A-Fa-f])+"
_PREFIX: Final = re.compile(rf"(?:/{_SEGMENT})+/?")

_JUNK: Final = "X-Forwarded-Prefix is not a path such as /shop"
_TOO_MANY: Final = "X-Forwarded-Prefix has more values than there are trusted proxies on the way"
_SET_IT: Final = "have the proxy in front set X-Forwarded-Prefix itself, whatever a client sends"


def read_prefix(said: str, hops: int) -> str:
    """The path, as SCRIPT_NAME has it, that was taken by the `hops` trusted peers which a request has come
    through; empty if nothing was. Raises HttpError."""
    if len(said) > LONGEST:
        raise HttpError(400, _JUNK, remedy=_SET_IT)
    values = said.split(",")
    if len(values) > hops:
        raise HttpError(400, _TOO_MANY, remedy=f"{_SET_IT}, and name all of them in proxy.trusted")
    return "".join([_decoded(value.strip(" \t")) for value in values])


def _decoded(value: str) -> str:
    if value in ("", "/"):
        return ""
    if not _PREFIX.fullmatch(value):
        raise HttpError(400, _JUNK, remedy=_SET_IT)
    path = unquote_to_bytes(value.rstrip("/"))
    try:
        printable = path.decode().isprintable()
    except UnicodeDecodeError:
        printable = False
    if not printable:
        raise HttpError(400, _JUNK, remedy=_SET_IT)
    return path.decode("latin-1")
