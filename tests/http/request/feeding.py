"""Bytes are fed in many ways: whole, one at a time, with something behind, in odd pieces."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from random import Random

import pytest

from superwsgi.config.sections import Limits
from superwsgi.core.chosen import READ_PLAIN
from superwsgi.http.client.peers import Trusted
from superwsgi.http.request.head import Request
from superwsgi.http.request.parser import Parser, RequestIds

three_ways = pytest.mark.parametrize("way", ["whole", "bytes", "behind"])
BEHIND = b"GET /behind HTTP/1.1\r\nHost: x\r\n\r\n"


class Fed:
    """A parser, and all requests that it gave: `requests` has every one that was complete so far."""

    def __init__(self, trusted: Trusted | None = None, **limits: int) -> None:
        environ = {"wsgi.input": None, "wsgi.url_scheme": "http"}
        self.parser = Parser(Limits(**limits), environ, RequestIds(), trusted)
        self.parser._read_plain = READ_PLAIN
        self.requests: deque[Request] = deque()

    def feed(self, *pieces: bytes) -> Fed:
        for piece in pieces:
            self.parser.feed(piece)
            while self.parser.behind:
                self.parser.go_on()
            while self.parser.requests:
                self.requests.append(self.parser.pop())
        return self

    @property
    def error(self):
        return self.parser.error

    @property
    def phase(self):
        return self.parser.phase


def bytewise(data: bytes) -> Iterator[bytes]:
    return (data[at : at + 1] for at in range(len(data)))


def pieces(data: bytes, cuts: Iterable[int]) -> Iterator[bytes]:
    """`data`, cut in two at each of `cuts`."""
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return (data[a:b] for a, b in itertools.pairwise(edges) if a < b)


def odd_pieces(data: bytes, seed: int) -> Iterator[bytes]:
    """The same pieces for the same seed."""
    random = Random(seed)
    return pieces(data, (random.randrange(len(data) + 1) for _ in range(random.randrange(1, 8))))


def parse(data: bytes, way: str = "whole", trusted: Trusted | None = None, **limits: int) -> Fed:
    fed = Fed(trusted, **limits)
    if way == "bytes":
        return fed.feed(*bytewise(data))
    return fed.feed(data + BEHIND if way == "behind" else data)
