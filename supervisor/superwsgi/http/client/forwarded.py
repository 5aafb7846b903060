"""What a trusted proxy says of its client: X-Forwarded-For, -Proto, -Host, -Port, and RFC 7239's Forwarded.
X-Forwarded-Protocol and X-Forwarded-Ssl are other spellings of -Proto, and must agree with it.

Pure functions of an environ. A proxy appends what it knows to the right of what it received, so lists are
walked from the right, past trusted addresses: the first untrusted one is the client, and everything left of
it is the client's own word. An entry that is not an address (`unknown`, `_hidden`, anything malformed) ends
the walk too: the last certain address stays.

If both kinds of fields are present they must agree. Most proxies write one kind and pass on the other as the
client sent it; whichever was preferred, behind some proxy clients could choose their own address.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from superwsgi.apps.types import Environ
from superwsgi.http.client.peers import Peer, Trusted
from superwsgi.http.errors import HttpError
from superwsgi.http.fields import TOKEN
from superwsgi.http.host import is_host, split_port

# RFC 7239 section 6: IPv4 or [IPv6], then perhaps a port, which may be obfuscated. X-Forwarded-For has no
# specification; IPv6 without brackets, and nginx's `unix:` for the peer of a unix socket, are common there.
_NODE: Final = re.compile(
    r"(?:\[([0-9A-Fa-f:.]{2,45})\]|([0-9.]{7,15}))(?::([0-9]{1,5})|:_[A-Za-z0-9._-]+)?"
    r"|([0-9A-Fa-f:.]{2,45}|unix:)"
)
# RFC 7239 section 4: forwarded-pair, or none, and what ends it. Proxies leave out the quotes that a port or
# an IPv6 address needs, and put spaces after semicolons; neither makes it ambiguous.
_PAIR: Final = re.compile(
    rf"(?:({TOKEN.pattern})=(?:([^\x00-\x20\"(),;<=>?@\\{{}}\x7f]+)|"
    r'"((?:[^"\\]|\\.)*)"))?[ \t]*(?:([;,])[ \t]*|\Z)'
)
_ESCAPED: Final = re.compile(r"\\(.)")

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_PROTOCOLS: Final = {**_SCHEMES, "ssl": "https"}
_SSL: Final = {"on": "https", "off": "http"}
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}

_UNKNOWN: Final = ""
_NOBODY: Final = Peer("", False)


class _Claims(NamedTuple):
    """What one kind of fields says; None if nothing. A client may be said to be _UNKNOWN. `hops` is how many
    trusted peers are between it and us, 0 if that is not said."""

    client: str | None = None
    client_port: str = ""
    scheme: str | None = None
    host: str | None = None
    port: str | None = None
    hops: int = 0


_NOTHING: Final = _Claims()


def is_forwarded(environ: Environ) -> bool:
    """Whether `believe` has anything to do."""
    return (
        "HTTP_X_FORWARDED_FOR" in environ
        or "HTTP_X_FORWARDED_PROTO" in environ
        or "HTTP_FORWARDED" in environ
        or "HTTP_X_FORWARDED_HOST" in environ
        or "HTTP_X_FORWARDED_PORT" in environ
        or "HTTP_X_FORWARDED_SSL" in environ
        or "HTTP_X_FORWARDED_PROTOCOL" in environ
    )


def believe(environ: Environ, trusted: Trusted) -> int:
    """Put client, scheme and server into a request's environ as a trusted peer says they are. Returns how
    many trusted peers the request has come through.

    Host stays as it came: the proxy decides which host a request is for, and many pass on X-Forwarded-Host as
    the client sent it. Raises HttpError if the fields are ambiguous.
    """
    by_name, by_rfc = _x_forwarded(environ, trusted), _forwarded(environ, trusted)
    client = _agreed(by_name.client, by_rfc.client, "client")
    scheme = _agreed(by_name.scheme, by_rfc.scheme, "scheme")
    host = _agreed(by_name.host, by_rfc.host, "host")
    if client:
        environ["REMOTE_ADDR"] = client
        environ["REMOTE_PORT"] = by_name.client_port or by_rfc.client_port
    if scheme:
        set_scheme(environ, scheme)
    if host:
        environ["SERVER_NAME"], port = split_port(host)
        environ["SERVER_PORT"] = port or _DEFAULT_PORTS[environ["wsgi.url_scheme"]]
    if by_name.port:
        environ["SERVER_PORT"] = by_name.port
    return by_name.hops or by_rfc.hops or 1


def set_scheme(environ: Environ, scheme: str) -> None:
    """The scheme for WSGI, and `HTTPS` as CGI programs know it."""
    environ["wsgi.url_scheme"] = scheme
    if scheme == "https":
        environ["HTTPS"] = "on"
    else:
        environ.pop("HTTPS", None)


def _agreed(one: str | None, other: str | None, what: str) -> str | None:
    if one is None or other is None or one == other:
        return other if one is None else one
    raise HttpError(400, f"Forwarded and X-Forwarded-* disagree about the {what}")


def _x_forwarded(environ: Environ, trusted: Trusted) -> _Claims:
    said = environ.get
    nodes = said("HTTP_X_FORWARDED_FOR")
    client, client_port, hops = (None, "", 1) if nodes is None else _walk(nodes.split(","), trusted)
    return _Claims(
        client,
        client_port,
        _agreed_scheme(environ, hops),
        _host(_entry(said("HTTP_X_FORWARDED_HOST"), hops)),
        _port(_entry(said("HTTP_X_FORWARDED_PORT"), hops)),
        0 if nodes is None else hops,
    )


def _agreed_scheme(environ: Environ, hops: int) -> str | None:
    """The scheme, by any of three names; most proxies write one and pass on the others. Raises HttpError."""
    said = environ.get
    scheme = _scheme(_entry(said("HTTP_X_FORWARDED_PROTO"), hops))
    for name, words in (("HTTP_X_FORWARDED_PROTOCOL", _PROTOCOLS), ("HTTP_X_FORWARDED_SSL", _SSL)):
        other = _scheme(_entry(said(name), hops), words)
        if scheme and other and scheme != other:
            raise HttpError(400, "X-Forwarded-Proto, -Protocol and -Ssl disagree about the scheme")
        scheme = scheme or other
    return scheme


def _forwarded(environ: Environ, trusted: Trusted) -> _Claims:
    said = environ.get("HTTP_FORWARDED")
    elements = [] if said is None else _elements(said)
    if not elements:
        return _NOTHING
    client, client_port, hops = None, "", 1
    if "for" in elements[-1]:
        client, client_port, hops = _walk([element.get("for", "") for element in elements], trusted)
    element = elements[-hops]
    scheme, host = _scheme(element.get("proto")), _host(element.get("host"))
    return _Claims(client, client_port, scheme, host, hops=0 if client is None else hops)


def _walk(nodes: Sequence[str], trusted: Trusted) -> tuple[str, str, int]:
    """The client, its port if given, and its position from the right (1 or more)."""
    client, port = _UNKNOWN, ""
    for hops, text in enumerate(reversed(nodes), 1):
        found = _NODE.fullmatch(text.strip(" \t"))
        peer = trusted.peer(found[1] or found[2] or found[4]) if found else _NOBODY
        if found is None or not (peer.address or peer.trusted):
            return client, port, max(hops - 1, 1)
        client, port = peer.address, _port(found[3]) or ""
        if not peer.trusted:
            break
    return client, port, hops


def _entry(values: str | None, hops: int) -> str | None:
    """The entry from the proxy that the client spoke to; a single one is about the client too."""
    if values is None or "," not in values:
        return values
    entries = values.split(",")
    return entries[-min(hops, len(entries))].strip(" \t")


def _elements(text: str) -> list[dict[str, str]]:
    """The elements of Forwarded, their parameters by lower-case name. Raises HttpError."""
    elements: list[dict[str, str]] = [{}]
    at = 0
    while at < len(text):
        pair = _PAIR.match(text, at)
        if pair is None:
            raise HttpError(400, "Forwarded breaks RFC 7239")
        name, token, quoted, end = pair.groups()
        if name is not None:
            if name.lower() in elements[-1]:
                raise HttpError(400, "Forwarded has a parameter twice in one element")
            elements[-1][name.lower()] = token if quoted is None else _ESCAPED.sub(r"\1", quoted)
        if end == ",":
            elements.append({})
        at = pair.end()
    return [element for element in elements if element]


def _scheme(text: str | None, words: dict[str, str] = _SCHEMES) -> str | None:
    return None if text is None else words.get(text.lower())


def _host(text: str | None) -> str | None:
    return text.lower() if text is not None and is_host(text) else None


def _port(text: str | None) -> str | None:
    if text is None or not (text.isascii() and text.isdigit()) or len(text) > 5 or int(text) > 65535:
        return None
    return str(int(text))
