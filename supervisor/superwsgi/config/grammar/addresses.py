"""The grammars of addresses to listen on (`host:port`, `[IPv6]:port`, `:port`, `systemd`, `fd://N`, any of
these behind `https://`, and `unix:path`), of networks, and of names that TLS clients ask for.

Host names are kept as names: they are looked up when they are bound.
"""

from __future__ import annotations

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network
from pathlib import Path
from typing import Final

from superwsgi.config.grammar.values import Invalid, path
from superwsgi.config.listening import Address, InheritedAddress, TcpAddress, UnixAddress

_EXPECTED: Final = "host:port, [IPv6]:port, unix:path or systemd"
_NETWORK: Final = "a network such as 10.0.0.0/8 or fd00::/8, an address, or unix"
_TLS: Final = "https://"
_PORT: Final = re.compile(r"0|[1-9][0-9]{0,4}")
_LABEL: Final = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST: Final = re.compile(rf"(?:{_LABEL})(?:\.{_LABEL})*")
_DIGITS_AND_DOTS: Final = re.compile(r"[0-9.]+")

# systemd.socket(5) FileDescriptorName=: printable, no colon; sd_listen_fds(3)
_INHERITED: Final = re.compile(r"systemd(?::.*[^0-9].*|:)?|fd:.*")
_SOCKET_NAME: Final = re.compile(r"[!-9;-~]{0,255}")
_FD: Final = re.compile(r"[3-9]|[1-9][0-9]{1,5}")

SOCKET_PATH_BYTES: Final = 107
"""sun_path less its final NUL (unix(7))."""


def address(text: str, folder: Path) -> Address:
    """An address to listen on; the path of a unix socket is made absolute against `folder`."""
    if text.startswith("unix:"):
        return UnixAddress(socket_path(text.removeprefix("unix:"), folder))
    where, tls = text.removeprefix(_TLS), text.startswith(_TLS)
    if _INHERITED.fullmatch(where):
        return _inherited(where, tls)
    host, colon, port = where.rpartition(":")
    if not colon or not _PORT.fullmatch(port) or (":" in host and not host.startswith("[")):
        raise Invalid(_EXPECTED, _meant(text))
    if int(port) > 65535:
        raise Invalid("a port from 0 to 65535")
    return TcpAddress(_host(host, port), int(port), tls)


def _inherited(text: str, tls: bool) -> InheritedAddress:
    if not text.startswith("fd:"):
        return InheritedAddress(_socket_name(text.removeprefix("systemd").removeprefix(":"), text), tls=tls)
    number = text.removeprefix("fd://")
    if not _FD.fullmatch(number):
        raise Invalid("fd://N with N from 3", "0, 1 and 2 are stdin, stdout and stderr")
    return InheritedAddress(fd=int(number), tls=tls)


def _socket_name(name: str, text: str) -> str:
    if (text == "systemd" or name) and _SOCKET_NAME.fullmatch(name):
        return name
    raise Invalid("systemd, or systemd:NAME", "NAME is the FileDescriptorName= of a socket unit")


def _host(host: str, port: str) -> str:
    if not host:
        return "0.0.0.0"
    if host.startswith("["):
        return _ipv6(host)
    if _DIGITS_AND_DOTS.fullmatch(host):
        return _ipv4(host)
    if not _HOST.fullmatch(host) or len(host) > 253:
        hint = f"for every interface write ':{port}'" if host == "*" else ""
        raise Invalid(_EXPECTED, hint)
    return host.lower()


def _ipv4(host: str) -> str:
    try:
        return str(IPv4Address(host))
    except AddressValueError:
        raise Invalid("an IPv4 address such as 127.0.0.1 before the port") from None


def _ipv6(host: str) -> str:
    try:
        return str(IPv6Address(host.removeprefix("[").removesuffix("]") if host.endswith("]") else ""))
    except AddressValueError:
        raise Invalid("an IPv6 address such as [::1] before the port") from None


def socket_path(text: str, folder: Path) -> str:
    """The path of a unix socket, made absolute against `folder`."""
    if text.startswith("@"):
        raise Invalid("the path of a socket", "sockets without a file are not available")
    absolute = path(text, folder)
    length = len(absolute.encode())
    if length > SOCKET_PATH_BYTES:
        expected = f"the path of a socket, at most {SOCKET_PATH_BYTES} bytes"
        raise Invalid(expected, f"{absolute} has {length}")
    return absolute


def network(text: str) -> str:
    """Peers: a network as `10.0.0.0/8`, an address as the network of it alone, or `unix`."""
    if text == "unix":
        return text
    address, slash, length = text.partition("/")
    if "%" in text or (slash and not (length.isascii() and length.isdigit())):
        raise Invalid(_NETWORK, _network_meant(text))
    try:
        host, around = ip_address(address), ip_network(text, strict=False)
    except ValueError:
        raise Invalid(_NETWORK, _network_meant(text)) from None
    if around.network_address != host:
        raise Invalid("a network without host bits", f"did you mean '{around}', or '{address}' alone?")
    return str(around)


def _network_meant(text: str) -> str:
    if text in ("*", "all", "any"):
        return "for every peer write 0.0.0.0/0, ::/0 and unix; but then anybody can claim to be any client"
    if text in ("off", "no", "none", "false"):
        return "to believe nobody write []"
    if text == "localhost":
        return "write 127.0.0.1 and ::1"
    if text.startswith("unix:"):
        return "'unix' is every unix socket of this site"
    return (
        "host names are not looked up: write addresses"
        if _HOST.fullmatch(text) and not text[-1].isdigit()
        else ""
    )


def server_name(text: str) -> str:
    """A host name as TLS clients ask for it, or `*.` and one: RFC 6066 section 3, RFC 6125 section 6.4.3."""
    name = text.lower().removesuffix(".")
    if not _HOST.fullmatch(name.removeprefix("*.")) or _DIGITS_AND_DOTS.fullmatch(name) or len(name) > 253:
        raise Invalid("a host name such as www.example.com or *.example.com")
    return name


def host_name(text: str) -> str:
    """A host as the Host field of a request names it, without brackets and port: a name or an address."""
    try:
        return str(ip_address(text.removeprefix("[").removesuffix("]")))
    except ValueError:
        name = text.lower()
    if not _HOST.fullmatch(name) or _DIGITS_AND_DOTS.fullmatch(name) or len(name) > 253:
        raise Invalid("a host name or an address without a port, such as ops.example.com or 10.0.0.5")
    return name


def control_path(text: str, folder: Path) -> str:
    """Where the control socket is: `off` or a path."""
    return text if text == "off" else socket_path(text, folder)


def _meant(text: str) -> str:
    for pattern, hint in _HINTS:
        if re.fullmatch(pattern, text):
            return hint.format(text, text.rpartition("/")[2])
    return ""


_HINTS: Final = (
    (r"https?://unix:.*", "a unix socket speaks plain HTTP: leave out https://"),
    (r"http://[^/]*:[0-9]+/?", "leave out http:// and the last /"),
    (r"https://[^/]*:[0-9]+/", "leave out the last /"),
    (r"https://[A-Za-z0-9_.-]*/?", "the port is missing, as in https://0.0.0.0:443"),
    (r"[0-9]+", "write ':{0}' for every interface, or '127.0.0.1:{0}'"),
    (r"[0-9a-fA-F:]*:[0-9a-fA-F:]*:[0-9a-fA-F:]*", 'an IPv6 address needs brackets and a port: "[::1]:8000"'),
    (r"\[.*\]", 'the port is missing: "{0}:8000"'),
    (r"[./].*", "did you mean 'unix:{0}'?"),
    (r"[A-Za-z0-9_.-]+:?", "the port is missing, as in 127.0.0.1:8000"),
)
