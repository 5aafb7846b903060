"""PROXY protocol headers: good, bad, in pieces, and what they change in the environ."""

from __future__ import annotations

import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from superwsgi.config.sections import Limits
from superwsgi.http.client.peers import Trusted
from superwsgi.http.client.proxy_protocol import LONGEST, Announcement, crc32c, read
from superwsgi.http.environ import base_environ, connection_environ
from superwsgi.http.errors import ProxyHeaderError
from superwsgi.http.request.parser import Parser, RequestIds
from tests.http.client.proxy_headers import (
    CLIENT,
    CLIENT6,
    LOCAL,
    SERVER,
    SERVER6,
    SIGNATURE,
    SSL,
    V1,
    V1_6,
    summed,
    tlv,
    v2,
)

# as a load balancer of AWS and a HAProxy have sent them
AWS = bytes.fromhex(
    "0d0a0d0a000d0a515549540a21110054ac1f0771ac1f0a1fc8f20050030004e8d6892dea0017017670"
    "63652d3038643262663135666163353030316339040024" + "00" * 36
)
HAPROXY = (
    bytes.fromhex("0d0a0d0a000d0a515549540a211100407f0000017f000001cc8a232e20003107000000002100")
    + b"\x07TLSv1.3\x22\0\x1fExample Common Name Client Cert"
)

GOOD = {
    "v1 TCP4": (V1, CLIENT, SERVER),
    "v1 TCP6": (V1_6, CLIENT6, SERVER6),
    "v1 longest": (
        b"PROXY TCP6 " + b" ".join([b"ffff:" * 7 + b"ffff"] * 2) + b" 65535 65535\r\n",
        ("ffff:" * 7 + "ffff", 65535),
        ("ffff:" * 7 + "ffff", 65535),
    ),
    "v1 mapped": (b"PROXY TCP6 ::ffff:192.0.2.1 ::1 0 1\r\n", ("192.0.2.1", 0), ("::1", 1)),
    "v2 TCP4": (v2(), CLIENT, SERVER),
    "v2 UDP4": (v2(0x12), CLIENT, SERVER),
    "v2 TCP6": (v2(0x21, CLIENT6, SERVER6), CLIENT6, SERVER6),
    "v2 UDP6": (v2(0x22, CLIENT6, SERVER6), CLIENT6, SERVER6),
    "v2 mapped": (v2(0x21, ("::ffff:192.0.2.1", 4711), SERVER6), CLIENT, SERVER6),
    "v2 unix": (v2(0x31, block=b"/run/x".ljust(108, b"\0") + bytes(108)), None, None),
    "v2 with a checksum": (summed(), CLIENT, SERVER),
    "v2 with TLVs": (summed(tlvs=tlv(4, bytes(9)) + tlv(0xE5, b"") + tlv(2, b"a.example")), CLIENT, SERVER),
    "v2 longest": (v2(tlvs=tlv(4, bytes(LONGEST - 31))), CLIENT, SERVER),
    "AWS": (AWS, ("172.31.7.113", 51442), ("172.31.10.31", 80)),
}
UNRELAYED = {
    "v1 UNKNOWN": b"PROXY UNKNOWN\r\n",
    "v1 UNKNOWN with more": b"PROXY UNKNOWN ffff::1 what ever 0\r\n",
    "v1 UNKNOWN at its longest": b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n",
    "v2 LOCAL": LOCAL,
    "v2 LOCAL with addresses": v2(command=0x20),
    "v2 LOCAL of no family": v2(0xFF, command=0x20, block=b"anything"),
    "v2 UNSPEC": v2(0, block=b""),
    "v2 UNSPEC with TLVs": v2(0, block=tlv(4, b"x")),
    "v2 transport UNSPEC": v2(0x10),
}


def pieces(data):
    """What `read` says of each beginning of `data` but the whole."""
    return {read(data[:size]) for size in range(len(data))}


@pytest.mark.parametrize(("data", "client", "server"), GOOD.values(), ids=GOOD)
def test_the_ends_of_the_clients_connection(data, client, server):
    assert read(data) == read(data + b"GET / HTTP/1.1\r\n") == read(data + data)
    assert read(data) == Announcement(len(data), True, client, server)
    assert len(data) > 1000 or pieces(data) == {None}


@pytest.mark.parametrize("data", UNRELAYED.values(), ids=UNRELAYED)
def test_connections_of_the_proxys_own(data):
    assert read(data) == read(data + b"GET / HTTP/1.1\r\n") == Announcement(len(data))
    assert pieces(data) == {None}


@pytest.mark.parametrize(
    ("tlvs", "secure"),
    [
        (SSL, True),
        (tlv(4, b"") + SSL, True),
        (tlv(0x20, b"\x07" + bytes(4)), True),
        (tlv(0x20, b"\x06" + bytes(4)), False),
        (tlv(0x20, b""), False),
        (tlv(0xE0, b"\x01"), False),
    ],
)
def test_a_client_that_speaks_tls_to_the_proxy(tlvs, secure):
    assert read(v2(tlvs=tlvs)).secure is secure
    assert read(v2(0x21, CLIENT6, SERVER6, tlvs=tlvs)).secure is secure


def test_a_client_certificate_at_haproxy():
    assert read(HAPROXY) == Announcement(len(HAPROXY), True, ("127.0.0.1", 52362), ("127.0.0.1", 9006), True)


def v1(text):
    return b"PROXY " + text + b"\r\n"


BAD = [
    b"GET / HTTP/1.1\r\n",
    b"\x16\x03\x01\x02\x00",
    b"\r\nGET",
    b"PROXYTCP4",
    b"proxy TCP4 192.0.2.1 198.51.100.7 4711 443\r\n",
    b"P" * 5,
    v1(b""),
    v1(b"TCP4"),
    v1(b"TCP5 192.0.2.1 198.51.100.7 4711 443"),
    v1(b"UNKNOWNS"),
    v1(b"unknown"),
    v1(b" TCP4 192.0.2.1 198.51.100.7 4711 443"),
    v1(b"TCP4 192.0.2.1  198.51.100.7 4711 443"),
    v1(b"TCP4 192.0.2.1 198.51.100.7 4711 443 "),
    v1(b"TCP4\t192.0.2.1 198.51.100.7 4711 443"),
    v1(b"TCP4 192.0.2.1 198.51.100.7 4711"),
    v1(b"TCP4 192.0.2.1 198.51.100.7 4711 443 1"),
    v1(b"TCP4 192.0.2.01 198.51.100.7 4711 443"),
    v1(b"TCP4 192.0.2.256 198.51.100.7 4711 443"),
    v1(b"TCP4 192.0.2 198.51.100.7 4711 443"),
    v1(b"TCP4 2001:db8::1 2001:db8::2 4711 443"),
    v1(b"TCP6 192.0.2.1 198.51.100.7 4711 443"),
    v1(b"TCP6 2001:db8::1::2 ::1 4711 443"),
    v1(b"TCP6 fe80::1%eth0 ::1 4711 443"),
    v1(b"TCP6 [::1] ::1 4711 443"),
    v1(b"TCP4 192.0.2.1 198.51.100.7 04711 443"),
    v1(b"TCP4 192.0.2.1 198.51.100.7 65536 443"),
    v1(b"TCP4 192.0.2.1 198.51.100.7 -1 443"),
    v1(b"TCP4 192.0.2.1 198.51.100.7 +1 443"),
    v1(b"UNKNOWN " + b"x" * 92),
    b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\n",
    b"PROXY TCP4 192.0.2.1 198.51.100.7 4711 443\rG",
    b"PROXY UNKNOWN a\nb",
    b"PROXY UNKNOWN a\rb\r\n",
    b"PROXY UNKNOWN " + b"x" * 93,
    v2(command=0x11),
    v2(command=0x31),
    v2(command=0x22),
    v2(0x13),
    v2(0x41),
    v2(0xF1),
    v2(0x21),
    v2(0x31),
    v2(block=bytes(11)),
    v2(tlvs=b"\x04"),
    v2(tlvs=b"\x04\x00"),
    v2(tlvs=b"\x04\x00\x01"),
    v2(tlvs=tlv(4, b"xx")[:-1]),
    v2(tlvs=tlv(3, bytes(4))),
    v2(tlvs=tlv(3, bytes(3))),
    v2(tlvs=tlv(3, b"")),
    summed(tlvs=tlv(3, bytes(4))),
    summed()[:-1] + b"\0",
    AWS.replace(b"\xc8\xf2", b"\xc8\xf3"),
    SIGNATURE + b"\x21\x11\xff\xff",
    SIGNATURE + b"\x20\x00\x3f\xf1",
]


@pytest.mark.parametrize("data", BAD, ids=lambda data: repr(data[:50]))
def test_anything_else_is_refused(data):
    with pytest.raises(ProxyHeaderError):
        read(data)


@pytest.mark.parametrize("data", BAD, ids=lambda data: repr(data[:50]))
def test_anything_else_is_refused_byte_by_byte(data):
    said = None
    with pytest.raises(ProxyHeaderError):  # noqa: PT012
        for size in range(len(data) + 1):
            said = said or read(data[:size])
    assert said is None


@given(
    st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11\0\x0c"]), st.binary()
)
def test_any_bytes_are_read_or_refused(beginning, rest):
    try:
        who = read(beginning + rest)
    except ProxyHeaderError:
        return
    assert who is None or 0 < who.size <= len(beginning + rest)


@pytest.mark.parametrize(
    ("data", "crc"),
    [(b"123456789", 0xE3069283), (bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (b"", 0)],
)
def test_the_checksum_is_that_of_rfc_3720_appendix_b_4(data, crc):
    assert crc32c(data) == crc


def introduced(header, *fields):
    """The environ of a request with these fields, behind `header` from a trusted peer, 10.0.0.9."""
    trusted = Trusted(["10.0.0.0/8"])
    base = base_environ(sys.stderr, multithread=True, multiprocess=False)
    environ = connection_environ(base, ("10.0.0.1", 8000), ("10.0.0.9", 5000))
    parser = Parser(Limits(), environ, RequestIds(), trusted)
    parser.introduce(read(header), trusted)
    parser.feed("\r\n".join(["GET / HTTP/1.1", "Host: x", *fields, "", ""]).encode())
    return parser.requests[0].environ


def ends(environ):
    return tuple(environ[key] for key in ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT"))


CLAIM = "X-Forwarded-For: 203.0.113.5"


@pytest.mark.parametrize("header", [V1, v2(), summed(tlvs=SSL)])
def test_the_client_is_who_the_header_says_and_not_who_the_client_says(header):
    environ = introduced(header, CLAIM, "X-Forwarded-Proto: http", "X-Request-ID: mine")
    assert ends(environ) == ("192.0.2.1", "4711", "198.51.100.7", "443")
    assert "HTTP_X_FORWARDED_FOR" not in environ
    assert environ["HTTP_X_REQUEST_ID"] != "mine"
    assert environ["wsgi.url_scheme"] == ("https" if SSL in header else "http")
    assert environ.get("HTTPS") == ("on" if SSL in header else None)


def test_a_client_of_the_proxy_that_is_trusted_itself_is_believed():
    header = v2(client=("10.5.5.5", 1))
    assert ends(introduced(header))[0] == "10.5.5.5"
    assert ends(introduced(header, CLAIM))[0] == "203.0.113.5"


@pytest.mark.parametrize("header", UNRELAYED.values(), ids=UNRELAYED)
def test_the_proxy_for_itself(header):
    assert ends(introduced(header)) == ("10.0.0.9", "5000", "10.0.0.1", "8000")
    assert ends(introduced(header, CLAIM))[0] == "203.0.113.5"


def test_a_client_on_a_unix_socket_of_the_proxy():
    assert ends(introduced(GOOD["v2 unix"][0], CLAIM)) == ("", "", "localhost", "80")
