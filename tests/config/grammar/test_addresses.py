"""Addresses to listen on."""

from __future__ import annotations

from pathlib import Path

import pytest

from superwsgi.config.grammar.addresses import address, network, server_name
from superwsgi.config.grammar.values import Invalid
from superwsgi.config.listening import InheritedAddress, TcpAddress, UnixAddress

FOLDER = Path("/srv/shop")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:8000", TcpAddress("127.0.0.1", 8000)),
        (":8000", TcpAddress("0.0.0.0", 8000)),
        ("[::1]:8000", TcpAddress("::1", 8000)),
        ("[0:0:0:0:0:0:0:1]:8000", TcpAddress("::1", 8000)),
        ("[fe80::1%eth0]:80", TcpAddress("fe80::1%eth0", 80)),
        ("localhost:8000", TcpAddress("localhost", 8000)),
        ("My_Host-1.Example.com:80", TcpAddress("my_host-1.example.com", 80)),
        ("127.0.0.1:0", TcpAddress("127.0.0.1", 0)),
        ("https://127.0.0.1:443", TcpAddress("127.0.0.1", 443, tls=True)),
        ("https://:443", TcpAddress("0.0.0.0", 443, tls=True)),
        ("https://[::1]:443", TcpAddress("::1", 443, tls=True)),
        ("127.0.0.1:65535", TcpAddress("127.0.0.1", 65535)),
        ("unix:/run/shop.sock", UnixAddress("/run/shop.sock")),
        ("unix:run/shop.sock", UnixAddress("/srv/shop/run/shop.sock")),
        ("unix:///run/shop.sock", UnixAddress("/run/shop.sock")),
        ("systemd", InheritedAddress()),
        ("systemd:shop.socket", InheritedAddress("shop.socket")),
        ("systemd:8000", TcpAddress("systemd", 8000)),
        ("fd://3", InheritedAddress(fd=3)),
    ],
)
def test_address(text: str, found: TcpAddress | UnixAddress) -> None:
    assert address(text, FOLDER) == found


@pytest.mark.parametrize(
    "text",
    [
        "127.0.0.1:8000",
        "[::1]:8000",
        "https://[::1]:443",
        "unix:/run/x.sock",
        "systemd",
        "systemd:a",
        "fd://3",
        "https://systemd",
        "https://systemd:a",
        "https://fd://3",
    ],
)
def test_an_address_is_spelled_as_it_is_read(text: str) -> None:
    assert str(address(text, FOLDER)) == text


EXPECTED = "host:port, [IPv6]:port, unix:path or systemd"
NO_PORT = "the port is missing, as in 127.0.0.1:8000"


@pytest.mark.parametrize(
    ("text", "expected", "hint"),
    [
        ("", EXPECTED, ""),
        ("127.0.0.1", EXPECTED, NO_PORT),
        ("localhost", EXPECTED, NO_PORT),
        ("localhost:", EXPECTED, NO_PORT),
        ("localhost:http", EXPECTED, ""),
        ("localhost:080", EXPECTED, ""),
        ("8000", EXPECTED, "write ':8000' for every interface, or '127.0.0.1:8000'"),
        ("::1", EXPECTED, 'an IPv6 address needs brackets and a port: "[::1]:8000"'),
        ("::1:8000", EXPECTED, 'an IPv6 address needs brackets and a port: "[::1]:8000"'),
        ("[::1]", EXPECTED, 'the port is missing: "[::1]:8000"'),
        ("*:8000", EXPECTED, "for every interface write ':8000'"),
        ("http://127.0.0.1:8000/", EXPECTED, "leave out http:// and the last /"),
        ("http://127.0.0.1:8000", EXPECTED, "leave out http:// and the last /"),
        ("https://127.0.0.1:443/", EXPECTED, "leave out the last /"),
        ("https://example.com", EXPECTED, "the port is missing, as in https://0.0.0.0:443"),
        ("https://unix:/run/shop.sock", EXPECTED, "a unix socket speaks plain HTTP: leave out https://"),
        ("/run/shop.sock", EXPECTED, "did you mean 'unix:/run/shop.sock'?"),
        ("systemd:", "systemd, or systemd:NAME", "NAME is the FileDescriptorName= of a socket unit"),
        ("systemd:a:b", "systemd, or systemd:NAME", "NAME is the FileDescriptorName= of a socket unit"),
        ("fd://2", "fd://N with N from 3", "0, 1 and 2 are stdin, stdout and stderr"),
        ("fd:3", "fd://N with N from 3", "0, 1 and 2 are stdin, stdout and stderr"),
        ("bad host:80", EXPECTED, ""),
        ("-x:80", EXPECTED, ""),
        ("a..b:80", EXPECTED, ""),
        ("ü:80", EXPECTED, ""),
        ("x." * 130 + "x:80", EXPECTED, ""),
        (":65536", "a port from 0 to 65535", ""),
        ("1.2.3:80", "an IPv4 address such as 127.0.0.1 before the port", ""),
        ("256.0.0.1:80", "an IPv4 address such as 127.0.0.1 before the port", ""),
        ("[::g]:80", "an IPv6 address such as [::1] before the port", ""),
        ("[::1:80", "an IPv6 address such as [::1] before the port", ""),
        ("[127.0.0.1]:80", "an IPv6 address such as [::1] before the port", ""),
        ("unix:", "a path", ""),
        ("unix:@shop", "the path of a socket", "sockets without a file are not available"),
    ],
)
def test_refused(text: str, expected: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        address(text, FOLDER)
    assert (caught.value.expected, caught.value.hint) == (expected, hint)


def test_a_socket_path_fits_sun_path_or_is_refused() -> None:
    fits = "/" + "x" * 106
    assert address(f"unix:{fits}", FOLDER) == UnixAddress(fits)
    with pytest.raises(Invalid, match="at most 107 bytes"):
        address(f"unix:{fits}x", FOLDER)
    with pytest.raises(Invalid, match="at most 107 bytes"):
        address(f"unix:{'é' * 60}", FOLDER)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("127.0.0.1", "127.0.0.1/32"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("::1", "::1/128"),
        ("FD00:0::/8", "fd00::/8"),
        ("unix", "unix"),
    ],
)
def test_network(text: str, found: str) -> None:
    assert network(text) == found


NETWORK = "a network such as 10.0.0.0/8 or fd00::/8, an address, or unix"
NO_HOST_BITS = "a network without host bits"


@pytest.mark.parametrize(
    ("text", "expected", "hint"),
    [
        ("", NETWORK, ""),
        ("10.0.0.0/33", NETWORK, ""),
        ("10.0.0.0/255.0.0.0", NETWORK, ""),
        ("10.0.0.0/", NETWORK, ""),
        ("10.0.0", NETWORK, ""),
        ("010.0.0.1", NETWORK, ""),
        ("fe80::1%eth0", NETWORK, ""),
        ("[::1]", NETWORK, ""),
        ("proxy.example.com", NETWORK, "host names are not looked up: write addresses"),
        ("localhost", NETWORK, "write 127.0.0.1 and ::1"),
        (
            "*",
            NETWORK,
            "for every peer write 0.0.0.0/0, ::/0 and unix; but then anybody can claim to be any client",
        ),
        ("off", NETWORK, "to believe nobody write []"),
        ("unix:/run/shop.sock", NETWORK, "'unix' is every unix socket of this site"),
        ("10.1.2.3/8", NO_HOST_BITS, "did you mean '10.0.0.0/8', or '10.1.2.3' alone?"),
        ("fd00::1/8", NO_HOST_BITS, "did you mean 'fd00::/8', or 'fd00::1' alone?"),
    ],
)
def test_what_is_no_network_is_explained(text: str, expected: str, hint: str) -> None:
    with pytest.raises(Invalid) as caught:
        network(text)
    assert (caught.value.expected, caught.value.hint) == (expected, hint)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("www.Example.com", "www.example.com"),
        ("*.example.com", "*.example.com"),
        ("example.com.", "example.com"),
        ("localhost", "localhost"),
    ],
)
def test_server_name(text: str, name: str) -> None:
    assert server_name(text) == name


@pytest.mark.parametrize(
    "text", ["", "*", "*.", "a.*.com", "127.0.0.1", "::1", "https://x", "x:443", "b\xfccher.de"]
)
def test_no_server_name(text: str) -> None:
    with pytest.raises(Invalid):
        server_name(text)
