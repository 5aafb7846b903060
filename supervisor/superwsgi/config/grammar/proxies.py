"""Where a site is for those who come through a proxy: the grammars of `root` and `proxy.fields`.

A root, and a field that only a proxy may set, must have one reading and one spelling: what somebody could
read in another way is no value of these keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from superwsgi.config.grammar.values import Invalid

SCRIPT_NAME: Final = "SCRIPT_NAME"
"""The variable by which Gunicorn is told what is `root` here."""

# `root`

_ROOT_EXPECTED: Final = "a path such as /shop"
_SEGMENT: Final = r"(?!\.{1,2}(?:/|\Z))[^/\\%;?#*\s]+"
_ROOT: Final = re.compile(rf"(?:/{_SEGMENT})+/?")


def root(text: str) -> str:
    """`/shop`, decoded and without a final slash; `/` for a site that has all paths."""
    if text in ("", "/"):
        return "/"
    if not _ROOT.fullmatch(text) or not text.isprintable():
        raise Invalid(_ROOT_EXPECTED, _root_meant(text))
    return text.rstrip("/")


def _root_meant(text: str) -> str:
    if "://" in text:
        return (
            "it has no scheme and no host; for one host of several there is apps: {api.example.com/v1: ...}"
        )
    if "%" in text:
        return "write it decoded"
    if text in ("off", "no", "none", "false"):
        return "for none leave the key out"
    found = next((mark for mark in ("?", "#", ";", "\\", "*", "//", "..") if mark in text), "")
    if found:
        return f"a proxy in front could read {found!r} in another way"
    return f"did you mean '/{text}'?" if _ROOT.fullmatch(f"/{text}") else ""


# `proxy.fields`

_FIELD_EXPECTED: Final = "a field's name such as REMOTE_USER, or its beginning such as OIDC_CLAIM_*"
_FIELD: Final = re.compile(r"[A-Za-z0-9]+(?:[_-]+[A-Za-z0-9]+)*")
_BEGINNING: Final = re.compile(r"(?:[A-Za-z0-9]+[_-])+\*")

_FRAMING: Final = "it says where a request ends or whom it is for, and the server reads it itself"
_ADDRESSED: Final = "of a peer in proxy.trusted it is believed anyway, spelled with hyphens"
_PLACED: Final = "where the site is, root says or, by X-Forwarded-Prefix of the proxy, proxy.prefix: on"
_CLIENTS: Final = "clients send it themselves, so nobody could tell it from the proxy's"

_NOT_FOR_PROXIES: Final = {
    **dict.fromkeys(
        (
            *("CONNECTION", "CONTENT_LENGTH", "CONTENT_TYPE", "EXPECT", "HOST", "KEEP_ALIVE", "PROXY"),
            *("PROXY_AUTHENTICATE", "PROXY_AUTHORIZATION", "PROXY_CONNECTION", "TE", "TRAILER"),
            *("TRANSFER_ENCODING", "UPGRADE"),
        ),
        _FRAMING,
    ),
    **dict.fromkeys(
        (
            *("FORWARDED", "X_FORWARDED_FOR", "X_FORWARDED_HOST", "X_FORWARDED_PORT", "X_FORWARDED_PROTO"),
            *("X_FORWARDED_PROTOCOL", "X_FORWARDED_SSL", "X_REQUEST_ID", "X_REQUEST_START"),
        ),
        _ADDRESSED,
    ),
    **dict.fromkeys((SCRIPT_NAME, "PATH_INFO", "X_FORWARDED_PREFIX", "X_SCRIPT_NAME"), _PLACED),
    **dict.fromkeys(
        (
            *("ACCEPT", "ACCEPT_CHARSET", "ACCEPT_ENCODING", "ACCEPT_LANGUAGE", "AUTHORIZATION"),
            *("CACHE_CONTROL", "CONTENT_ENCODING", "COOKIE", "DATE", "DNT", "IF_MATCH", "IF_MODIFIED_SINCE"),
            *("IF_NONE_MATCH", "IF_RANGE", "IF_UNMODIFIED_SINCE", "ORIGIN", "PRAGMA", "PRIORITY", "RANGE"),
            *("REFERER", "SEC_FETCH_MODE", "SEC_FETCH_SITE", "TRACEPARENT", "TRACESTATE", "USER_AGENT"),
            *("UPGRADE_INSECURE_REQUESTS", "X_CSRFTOKEN", "X_REQUESTED_WITH", "SEC_WEBSOCKET_KEY"),
        ),
        _CLIENTS,
    ),
}
"""What proxy.fields may not take, as a variable of CGI without HTTP_, and why."""


def field(text: str) -> str:
    """The name of a request field, as a proxy spells it, or with `*` at its end the beginning of some."""
    if not _FIELD.fullmatch(text) and not _BEGINNING.fullmatch(text):
        raise Invalid(_FIELD_EXPECTED, _field_meant(text))
    taken = next(_not_for_proxies(text), None)
    if taken is not None:
        also = "" if taken == _variable(text) else f"it would take {taken}, too: "
        raise Invalid("a field that only a proxy sets", also + _NOT_FOR_PROXIES[taken])
    if _variable(text).startswith("HTTP_"):
        raise Invalid(_FIELD_EXPECTED, f"write the field, not its variable: {text[5:]}")
    return text


def same_fields(patterns: Iterable[str]) -> bool:
    """Whether two of them are the same but for their spelling."""
    variables = list(map(_variable, patterns))
    return len(set(variables)) < len(variables)


def _not_for_proxies(text: str) -> Iterator[str]:
    variable = _variable(text)
    if variable in _NOT_FOR_PROXIES:
        yield variable
    if variable.endswith("*"):
        yield from (name for name in _NOT_FOR_PROXIES if name.startswith(variable[:-1]))


def _variable(text: str) -> str:
    return text.upper().replace("-", "_")


def _field_meant(text: str) -> str:
    bare = text.removesuffix("*")
    if not bare:
        return "any client could say anything by it: name what the proxy sets, such as X_SSL_*"
    if text.endswith("*") and _FIELD.fullmatch(bare):
        return f"did you mean '{bare}_*' or '{bare}'?"
    if "*" in bare:
        return "a star stands at the end alone"
    if text.endswith(("_", "-")):
        return f"did you mean '{text}*'?"
    if ":" in text:
        return "a name alone, without a value"
    return ""
