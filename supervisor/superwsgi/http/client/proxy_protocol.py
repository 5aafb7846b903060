"""PROXY protocol, versions 1 and 2: the header that a proxy of TCP connections sends at the start of each.

Bytes in, header out; sans-I/O. The specification is doc/proxy-protocol.txt of HAProxy (sections 2.1 and 2.2).
Anything that does not match it exactly ends the connection: a receiver "MUST not try to guess whether the
protocol header is present or not".
"""

from __future__ import annotations

import re
import struct
from ipaddress import ip_address
from typing import Final, NamedTuple

from superwsgi.http.client.peers import canonical, parse
from superwsgi.http.environ import Address
from superwsgi.http.errors import ProxyHeaderError

LONGEST: Final = 16 << 10
"""Bytes of a header. Version 2 would allow 64 KiB; HAProxy itself accepts no more than this."""

_SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
_FIXED: Final = 16  # bytes of version 2 before the addresses
_LINE: Final = 107  # bytes of version 1, CRLF included
_PORT: Final = rb"(0|[1-9][0-9]{0,4})"
_V1: Final = re.compile(
    rb"PROXY (?:UNKNOWN(?: [^\r\n]*)?"
    rb"|TCP(?:4 ([0-9.]+) ([0-9.]+)|6 ([0-9A-Fa-f]*:[0-9A-Fa-f:.]*) ([0-9A-Fa-f]*:[0-9A-Fa-f:.]*)) "
    + _PORT
    + rb" "
    + _PORT
    + rb")"
)

_LOCAL: Final = 0
_PROXY: Final = 1
_UNSPEC: Final = 0
_INET: Final = 1
_INET6: Final = 2
_LOCAL_SOCKET: Final = 3
_ADDRESS_BYTES: Final = {_UNSPEC: 0, _INET: 12, _INET6: 36, _LOCAL_SOCKET: 216}
_TRANSPORTS: Final = frozenset({0, 1, 2})  # unspecified, stream, datagram

_CRC32C: Final = 0x03
_SSL: Final = 0x20
_CLIENT_SSL: Final = 0x01


class Announcement(NamedTuple):
    """A complete header, of `size` bytes.

    `relayed`: the connection stands for a client's connection to the proxy, between these ends, which are
    None for unix sockets. Otherwise it is the proxy's own, such as a health check, or its client is unknown.
    `secure`: the client speaks TLS to the proxy.
    """

    size: int
    relayed: bool = False
    client: Address | None = None
    server: Address | None = None
    secure: bool = False


def read(data: bytes) -> Announcement | None:
    """The header that `data` begins with; None if it is incomplete. Raises ProxyHeaderError."""
    if data.startswith(_SIGNATURE[: len(data)]):
        return _read_v2(data) if len(data) >= _FIXED else None
    if data.startswith(b"PROXY "[: len(data)]):
        return _read_v1(data)
    raise ProxyHeaderError("no PROXY protocol header")


# Section 2.1: version 1, a line.


def _read_v1(data: bytes) -> Announcement | None:
    end = data.find(b"\r\n", 0, _LINE)
    if end < 0:
        if len(data) >= _LINE or b"\n" in data or b"\r" in data[:-1]:
            raise ProxyHeaderError("version 1: the line does not end in CRLF")
        return None
    found = _V1.fullmatch(data[:end])
    if found is None:
        raise ProxyHeaderError("version 1: malformed line")
    source4, target4, source6, target6, source_port, target_port = found.groups()
    size = end + 2
    if source_port is None:
        return Announcement(size)
    client, server = _end_v1(source4 or source6, source_port), _end_v1(target4 or target6, target_port)
    return Announcement(size, True, client, server)


def _end_v1(text: bytes, port: bytes) -> Address:
    address = parse(text.decode("ascii"))
    if address is None or int(port) > 0xFFFF:
        raise ProxyHeaderError("version 1: invalid address or port")
    return str(address), int(port)


# Section 2.2: version 2, binary.


def _read_v2(data: bytes) -> Announcement | None:
    version, command = divmod(data[12], 16)
    if version != 2 or command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"version {version} command {command}: neither LOCAL nor PROXY of version 2")
    size = _FIXED + int.from_bytes(data[14:16], "big")
    if size > LONGEST:
        raise ProxyHeaderError(f"version 2: a header of {size} bytes")
    if len(data) < size:
        return None
    if command == _LOCAL:
        return Announcement(size)  # "must discard the protocol block including the family which is ignored"
    return _announced(data[:size])


def _announced(header: bytes) -> Announcement:
    family, transport = divmod(header[13], 16)
    if family not in _ADDRESS_BYTES or transport not in _TRANSPORTS:
        raise ProxyHeaderError(f"version 2: family {family}, transport {transport}")
    extensions = _FIXED + _ADDRESS_BYTES[family]
    if len(header) < extensions:
        raise ProxyHeaderError("version 2: too short for its addresses")
    secure = _read_extensions(header, extensions)
    if family == _UNSPEC or transport == 0:
        return Announcement(len(header), secure=secure)
    if family == _LOCAL_SOCKET:
        return Announcement(len(header), True, secure=secure)
    client, server = _ends_v2(header[_FIXED:extensions], "!4s4sHH" if family == _INET else "!16s16sHH")
    return Announcement(len(header), True, client, server, secure)


def _ends_v2(block: bytes, layout: str) -> tuple[Address, Address]:
    source, target, source_port, target_port = struct.unpack(layout, block)
    return (_spell(source), source_port), (_spell(target), target_port)


def _spell(packed: bytes) -> str:
    return str(canonical(ip_address(packed)))


def _read_extensions(header: bytes, start: int) -> bool:
    """Check the types, lengths and values (TLV) after the addresses; True if the client speaks TLS."""
    at, secure, checked = start, False, False
    while at < len(header):
        value = at + 3
        end = value + int.from_bytes(header[at + 1 : value], "big")
        if len(header) < value or len(header) < end:
            raise ProxyHeaderError("version 2: a TLV that does not fit the header")
        if header[at] == _CRC32C:
            if checked or end - value != 4:
                raise ProxyHeaderError("version 2: more than one checksum, or none of 4 bytes")
            checked = True
            _check_sum(header, value)
        elif header[at] == _SSL:
            secure = end > value and bool(header[value] & _CLIENT_SSL)
        at = end
    return secure


def _check_sum(header: bytes, at: int) -> None:
    """Section 2.2.3: the checksum covers the whole header, with zeros in its own place."""
    said = int.from_bytes(header[at : at + 4], "big")
    if crc32c(header[:at] + bytes(4) + header[at + 4 :]) != said:
        raise ProxyHeaderError("version 2: wrong checksum")


def crc32c(data: bytes) -> int:
    """The checksum of RFC 4960 appendix B (Castagnoli)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _TABLE[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


def _table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE: Final = _table()
