"""Which requests ask to speak another protocol, and that nothing behind them is read as HTTP."""

from __future__ import annotations

import pytest

from superwsgi.config.sections import Limits
from superwsgi.http.request.parser import Parser, RequestIds
from tests.http.request.feeding import BEHIND, parse, three_ways

UPGRADE = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@three_ways
def test_nothing_is_parsed_behind_an_upgrade(way):
    parser = parse(UPGRADE + BEHIND, way)
    parser.feed(BEHIND)
    (request,) = parser.requests
    assert request.upgrade
    assert not request.keep_alive
    assert parser.error is None


def test_what_has_arrived_behind_an_upgrade_is_kept():
    parser = Parser(Limits(), {}, RequestIds())
    parser.feed(UPGRADE + b"\x81\x05hello")
    assert parser.early == b"\x81\x05hello"


NO_UPGRADES = {
    "HTTP/1.0": UPGRADE.replace(b"/1.1", b"/1.0"),
    "no Connection": UPGRADE.replace(b"Connection: Upgrade\r\n", b""),
    "another option": UPGRADE.replace(b"Connection: Upgrade", b"Connection: keep-alive, upgraded"),
    "the end": UPGRADE.replace(b"Connection: Upgrade", b"Connection: Upgrade, close"),
    "HTTP/2": UPGRADE.replace(b"websocket", b"h2c"),
    "nothing": UPGRADE.replace(b"websocket", b","),
    "POST": UPGRADE.replace(b"GET", b"POST"),
    "a body": UPGRADE.replace(b"Host", b"Content-Length: 1\r\nHost") + b"x",
    "chunks": UPGRADE.replace(b"Host", b"Transfer-Encoding: chunked\r\nHost") + b"0\r\n\r\n",
}


@three_ways
@pytest.mark.parametrize("data", NO_UPGRADES.values(), ids=NO_UPGRADES)
def test_no_upgrade(way, data):
    parser = parse(data, way)
    assert parser.error is None
    assert not parser.requests[0].upgrade


@three_ways
@pytest.mark.parametrize(
    "data",
    [
        UPGRADE.replace(b"Connection: Upgrade", b"Connection: keep-alive, Upgrade"),
        UPGRADE.replace(b"Connection: Upgrade", b"Connection: keep-alive\r\nconnection: \tuPGRADE"),
        UPGRADE.replace(b"websocket", b"h2c, WebSocket"),
        UPGRADE.replace(b"Host", b"Content-Length: 0\r\nHost"),
    ],
)
def test_an_upgrade(way, data):
    assert [request.upgrade for request in parse(data, way).requests] == [True]


@three_ways
def test_upgrades_are_ignored_where_they_are_off(way):
    parser = parse(UPGRADE + BEHIND, way, upgraded=0)
    assert [request.target for request in parser.requests][:2] == [b"/", b"/behind"]
    assert not any(request.upgrade for request in parser.requests)
