"""Server-sent events (HTML standard, section 9.2): what the site does, at once and then each second, until
the client leaves or this process ends. A stream that has nothing to say sends a comment, so that it
finds out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from superwsgi.admin.asking import Unanswered
from superwsgi.admin.watching import Look, Watching

MOST: Final = 20
"""Streams at a time: each has a thread."""

_SILENT: Final = 5.0
"""Seconds without an event after which there is a comment."""

_RETRY: Final = b"retry: 1000\n\n"
"""Milliseconds after which a browser connects again where the stream has ended."""

_NOTHING: Final = b": the master has not answered\n\n"


class Stream:
    """A response's body; `close` is called at its end, however it comes."""

    def __init__(self, watching: Watching) -> None:
        """`watching` has been joined."""
        self._watching = watching
        self._events = _events(watching)
        self._closed = False

    def __iter__(self) -> Iterator[bytes]:
        return self._events

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self._watching.leave()


def _events(watching: Watching) -> Iterator[bytes]:
    number = 0
    try:
        look = watching.fresh()
        number = look.number
        yield _RETRY + _event(look)
    except Unanswered:
        yield _RETRY + _NOTHING
    while not watching.ended:
        following = watching.after(number, _SILENT)
        if following is None:
            yield _NOTHING
        else:
            number = following.number
            yield _event(following)


def _event(look: Look) -> bytes:
    return b"event: status\ndata: %s\n\n" % look.encoded()
