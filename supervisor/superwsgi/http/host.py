"""`host` or `host:port`, as in Host, in a target, and in what proxies say about their clients.

RFC 9110 section 7.2 and RFC 3986 section 3.2.2, without user information. No comma in a host: that is what
two joined Host fields look like.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import Final

from superwsgi.http.errors import HttpError

_REG_NAME: Final = re.compile(r"(?:[A-Za-z0-9\-._~!$&'()*+;=]|%[0-9A-Fa-f]{2})+")
_ADDRESS: Final = re.compile(r"\[([0-9A-Fa-f:.]+)\]")
_PORT: Final = re.compile(r"[0-9]{0,5}")
_LAST_PORT: Final = 65535

_REMEMBERED: Final = 1024
_USUAL: Final = 64
"""Characters, at most, of hosts that are worth remembering."""

HOSTS: Final[set[str]] = set()
"""Recent valid ones."""


def check_host(host: str) -> None:
    """Raise HttpError unless it is `host` or `host:port`."""
    name, port = split_port(host)
    if not _PORT.fullmatch(port) or int(port or 0) > _LAST_PORT:
        raise HttpError(400, "invalid port in the host")
    address = _ADDRESS.fullmatch(name)
    if not (_is_ipv6(address[1]) if address else _REG_NAME.fullmatch(name)):
        raise HttpError(400, "invalid host")
    if len(host) <= _USUAL:
        if len(HOSTS) >= _REMEMBERED:
            HOSTS.clear()  # clients choose the names; those in use soon return
        HOSTS.add(host)


def is_host(text: str) -> bool:
    """Whether `check_host` would accept it."""
    if text not in HOSTS:
        try:
            check_host(text)
        except HttpError:
            return False
    return True


def split_port(host: str) -> tuple[str, str]:
    """The name and the port, which is empty if there is none."""
    name, colon, port = host.rpartition(":")
    return (host, "") if not colon or host.endswith("]") else (name, port)


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
