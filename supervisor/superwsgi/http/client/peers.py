"""Addresses of peers, and which of them are believed about their clients (`proxy.trusted`).

Proxies are few and recur, so results for addresses are kept; that memory is bounded, because clients choose
the contents of address lists.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final, NamedTuple

UNIX: Final = "unix:"
"""The peer of a unix socket, which has no address, as nginx spells it in X-Forwarded-For."""

_REMEMBERED: Final = 1024


class Peer(NamedTuple):
    """`address` in its canonical spelling, empty if the text was not an address."""

    address: str
    trusted: bool


class Trusted:
    """Which peers are believed: networks such as `10.0.0.0/8`, and `unix` for peers on unix sockets."""

    def __init__(self, networks: Iterable[str]) -> None:
        names = set(networks)
        self._unix_peer = Peer("", "unix" in names)
        self._networks = [ip_network(name) for name in names - {"unix"}]
        self._known: dict[str, Peer] = {}

    def peer(self, text: str) -> Peer:
        """The peer that `text`, an address or UNIX, stands for. Anything else is not trusted."""
        known = self._known.get(text)
        if known is None:
            if len(self._known) >= _REMEMBERED:
                self._known = {}  # start again: the clients of an hour ago may not come back
            self._known[text] = known = self._learn(text)
        return known

    def _learn(self, text: str) -> Peer:
        if text == UNIX:
            return self._unix_peer
        address = parse(text)
        if address is None:
            return Peer("", False)
        return Peer(str(address), any(address in network for network in self._networks))


def parse(text: str) -> IPv4Address | IPv6Address | None:
    """An address without port or brackets."""
    try:
        return canonical(ip_address(text.partition("%")[0]))  # no scope of a link-local peer: getnameinfo(3)
    except ValueError:
        return None


def canonical(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """An IPv4 address mapped into IPv6 (RFC 4291 section 2.5.5.2) becomes the IPv4 address, so that a client
    has only one spelling."""
    return (address.ipv4_mapped or address) if isinstance(address, IPv6Address) else address
