"""Bytes are fed three ways: whole, one at a time, and with something behind."""

from __future__ import annotations

import pytest

from superwsgi.config.schema import Limits
from superwsgi.http.identity import RequestIds
from superwsgi.http.parser import Parser
from superwsgi.http.peers import Trusted

three_ways = pytest.mark.parametrize("way", ["whole", "bytes", "behind"])
BEHIND = b"GET /behind HTTP/1.1\r\nHost: x\r\n\r\n"


def feed(parser: Parser, data: bytes, way: str) -> None:
    if way == "bytes":
        for at in range(len(data)):
            parser.feed(data[at : at + 1])
    else:
        parser.feed(data + BEHIND if way == "behind" else data)


def parse(data: bytes, way: str = "whole", trusted: Trusted | None = None, **limits: int) -> Parser:
    parser = Parser(Limits(**limits), {"wsgi.input": None}, RequestIds(), trusted)
    feed(parser, data, way)
    return parser
