"""llhttp, the parser of Node.js, by httptools: every head has to pass it before anything else is made of it.

It has been fuzzed for years and knows the attacks; what it refuses is refused here. It is not asked for more:
it takes two spaces in a request line, any Host and a fragment, so the strict reading is ours (target.py,
head.py); and it does not stop behind a message, so that pipelined requests would pile up and the bytes
behind a body could not be looked at (framing.py says where a body ends).
"""

from __future__ import annotations

from typing import Final

from httptools import (
    HttpParserError,
    HttpParserInvalidMethodError,
    HttpParserUpgrade,
    HttpRequestParser,
)

from superwsgi.http.errors import HttpError


class Llhttp:
    """One for all connections of a process: it calls nobody back, and so is used up when it returns."""

    def __init__(self) -> None:
        self._between = HttpRequestParser(None)  # it expects a head

    def check(self, head: bytes | bytearray, *, last: bool) -> None:
        """Raise HttpError unless `head`, with the empty line at its end, is the head of a request.

        `last` is one that no other head can follow: it announces a body, an upgrade, or the end.
        """
        if not last:
            try:
                self._between.feed_data(head)
                return
            except HttpParserError:  # of this head, or of one that another thread has just shown it
                self._between = HttpRequestParser(None)
        _check(head)


def _check(head: bytes | bytearray) -> None:
    try:
        HttpRequestParser(None).feed_data(head)
    except HttpParserUpgrade:
        pass
    except HttpParserInvalidMethodError:
        raise HttpError(501, "unknown method") from None
    except HttpParserError:
        raise HttpError(400, "not a head of HTTP/1") from None


LLHTTP: Final = Llhttp()
