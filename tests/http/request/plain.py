"""What a plain head promises, for tests and for a fuzzer."""

from __future__ import annotations

from httptools import HttpRequestParser

from tests.http.request.feeding import Fed


def is_plain(head: bytes) -> bool:
    """Whether it is once it has come before."""
    Fed().feed(head)
    fed = Fed().feed(head)
    return fed.error is None and bool(fed.requests) and fed.requests[0].plain


def pass_llhttp(head: bytes) -> None:
    """Raises HttpParserError where it does not."""
    HttpRequestParser(None).feed_data(head)
