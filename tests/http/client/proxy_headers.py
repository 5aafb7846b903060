"""PROXY protocol headers, as proxies write them."""

from __future__ import annotations

import struct
from ipaddress import ip_address

from superwsgi.http.client.proxy_protocol import crc32c

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
CLIENT, SERVER = ("192.0.2.1", 4711), ("198.51.100.7", 443)
CLIENT6, SERVER6 = ("2001:db8::1", 4711), ("2001:db8:ffff::7", 443)
V1 = b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\r\n"
V1_6 = b"PROXY TCP6 2001:db8::1 2001:DB8:FFFF:0:0:0:0:7 4711 443\r\n"


def v2(family=0x11, client=CLIENT, server=SERVER, *, command=0x21, tlvs=b"", block=None):
    """Version 2; `family` is the byte of family and transport."""
    if block is None:
        block = b"".join(ip_address(end[0]).packed for end in (client, server))
        block += struct.pack("!HH", client[1], server[1])
    block += tlvs
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


def tlv(kind, value):
    return struct.pack("!BH", kind, len(value)) + value


def summed(**header):
    """Version 2 with its checksum behind the other TLVs."""
    data = v2(**{**header, "tlvs": header.get("tlvs", b"") + tlv(3, bytes(4))})
    return data[:-4] + struct.pack("!I", crc32c(data))


SSL = tlv(0x20, b"\x01" + bytes(4) + tlv(0x21, b"TLSv1.3"))
LOCAL = v2(0, command=0x20, block=b"")
