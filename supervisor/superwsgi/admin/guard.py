"""Who may ask what. A pure function from a request's environ to None, or to the refusal that is its answer.

A browser on this machine reaches loopback addresses for every page that it shows. So the host that it asked
for has to be one of ours (a foreign name that leads here is DNS rebinding), a page of another origin may ask
for nothing but the page itself, and what changes something has to show the token that no other page knows.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Final, NamedTuple

from superwsgi.http.errors import HttpError
from superwsgi.http.host import split_port

MOST_CONTENT: Final = 4 << 10
"""Bytes of what is posted."""

SAFE: Final = frozenset({"GET", "HEAD"})
"""Methods that change nothing here: RFC 9110 section 9.2.1."""

_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})
JSON: Final = "application/json"
_CHALLENGE: Final = {"WWW-Authenticate": 'Basic realm="superwsgi", charset="UTF-8"'}
_BEARER: Final = {"WWW-Authenticate": 'Bearer realm="superwsgi"'}


@dataclass(frozen=True, slots=True)
class Policy:
    """`hosts` are names by which we may be asked, beside those of this machine and the address that a client
    has connected to. Where we are `exposed` to other machines, reading needs the token, too."""

    hosts: frozenset[str]
    token: str | None
    exposed: bool


class Denial(NamedTuple):
    status: int
    reason: str
    fields: Mapping[str, str] = {}


def refusal(environ: Mapping[str, Any], policy: Policy) -> Denial | None:
    """Why a request is refused, None if it is not. Whether there is such a page is not asked here."""
    host = environ.get("HTTP_HOST", "")
    if not _is_our_host(host, environ, policy):
        return Denial(403, f"{host or 'no host'!r} is not a name of this page: see admin.hosts")
    if environ["REQUEST_METHOD"] in SAFE:
        return _foreign(environ, host) or _reads(environ, policy)
    return _foreign(environ, host) or _acts(environ, policy)


def _is_our_host(host: str, environ: Mapping[str, Any], policy: Policy) -> bool:
    name = _name(host)
    return name is not None and (
        name in _LOOPBACK or name in policy.hosts or name == _spelled(environ["SERVER_NAME"])
    )


def _name(authority: str) -> str | None:
    """The host of a Host field, without its port: which one it is depends on the way here (ssh -L)."""
    try:
        name, _ = split_port(authority)
    except (HttpError, ValueError):
        return None
    return _spelled(name) or None


def _spelled(name: str) -> str:
    """As a Host field has it: RFC 3986 section 3.2.2."""
    name = name.lower().removeprefix("[").removesuffix("]")
    try:
        address = ip_address(name)
    except ValueError:
        return name
    return f"[{address}]" if address.version == 6 else str(address)


# What a browser says of where a request comes from: it lets no page change these fields.


def _foreign(environ: Mapping[str, Any], host: str) -> Denial | None:
    origin = environ.get("HTTP_ORIGIN")
    if origin is not None and not _is_own(origin, host):
        return Denial(403, f"{origin!r} is another origin")
    site = environ.get("HTTP_SEC_FETCH_SITE", "none")
    if site in ("same-origin", "none") or _is_navigation(environ):
        return None
    return Denial(403, "a page of another origin may not ask for this")


def _is_own(origin: str, host: str) -> bool:
    """Whether an origin (RFC 6454 section 7) is this page's. A proxy in front may speak TLS."""
    scheme, separator, authority = origin.partition("://")
    if separator != "://" or scheme not in ("http", "https"):
        return False
    default = ":443" if scheme == "https" else ":80"
    ours = host.lower()
    return authority.lower().removesuffix(default) == ours.removesuffix(default)


def _is_navigation(environ: Mapping[str, Any]) -> bool:
    """Whether somebody has followed a link to the page: a bookmark in a wiki is no attack."""
    return (
        environ["REQUEST_METHOD"] in SAFE
        and environ["PATH_INFO"] == "/"
        and environ.get("HTTP_SEC_FETCH_MODE") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST") == "document"
    )


# The token.

_WRONG: Final = "this is not the token: admin.token is another one"


def _reads(environ: Mapping[str, Any], policy: Policy) -> Denial | None:
    if not policy.exposed:
        return None
    if policy.token is None:  # rules.py keeps that from a start
        return Denial(403, "other machines can reach this, and admin.token is not set")
    given = _bearer(environ) or _password(environ)
    if _is_token(given, policy.token):
        return None
    return Denial(401, _WRONG if given else "admin.token is needed", _CHALLENGE)


def _acts(environ: Mapping[str, Any], policy: Policy) -> Denial | None:
    if policy.token is None:
        return Denial(403, "what changes something needs admin.token, which is not set")
    given = _bearer(environ)
    if not _is_token(given, policy.token):
        return Denial(
            401, _WRONG if given else "admin.token is needed, as Authorization: Bearer TOKEN", _BEARER
        )
    kind = environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower()
    if kind != JSON:
        return Denial(415, f"the content has to be {JSON}")
    return Denial(413, "the content is too large") if _is_too_large(environ) else None


def _is_too_large(environ: Mapping[str, Any]) -> bool:
    length = environ.get("CONTENT_LENGTH", "")
    return length.isdecimal() and int(length) > MOST_CONTENT


def _bearer(environ: Mapping[str, Any]) -> str | None:
    """RFC 6750 section 2.1."""
    scheme, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _password(environ: Mapping[str, Any]) -> str | None:
    """RFC 7617 section 2: of any user."""
    scheme, _, both = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(both.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None


def _is_token(given: str | None, token: str) -> bool:
    """In a time that does not tell how much of it is right."""
    return given is not None and hmac.compare_digest(given.encode("utf-8", "replace"), token.encode())
