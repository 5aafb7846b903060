"""What all threads do right now, for a master that asks. Runs in the main thread, which is never in the
application, and disturbs nobody: it takes no lock of ours, and reads what the others change meanwhile.

Threads at the same place are told of together: of a thousand, most wait for requests.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator
from types import FrameType
from typing import Final

from superwsgi.log.frames import DEEPEST, application_stack
from superwsgi.log.spelling import encodable
from superwsgi.messages import MOST_HEADS, MOST_PLACES, PLACE_LIMIT, WORD_LIMIT, ThreadHead, ThreadsAt
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.threads.thread import WorkerThread

_CUT: Final = "  ...\n"

_Place = tuple[tuple[object, int], ...]


def threads_at(
    question: int, serving: Iterable[WorkerThread], lost: Collection[WorkerThread]
) -> Iterator[ThreadsAt]:
    """All threads of this process, as the answer to that question. `serving` are those of the pool, `lost`
    those whose requests have been ended in their place."""
    head = _heads({thread.ident: thread for thread in [*lost, *serving]}, lost)
    places = list(_places(sys._current_frames()).values())
    for threads in places[:MOST_PLACES]:
        frame = threads[0][1]
        text = application_stack(frame) or "".join(traceback.format_stack(frame, DEEPEST))
        for some in _batches(threads):
            yield ThreadsAt(question, [head(ident, frame) for ident, frame in some], _shortened(text))
    left_out = sum(map(len, places[MOST_PLACES:]))
    yield ThreadsAt(question, [], left_out=left_out, last=True)


def _places(frames: dict[int, FrameType]) -> dict[_Place, list[tuple[int, FrameType]]]:
    """Threads by where they are, those that are alone there first."""
    places: dict[_Place, list[tuple[int, FrameType]]] = {}
    for ident, frame in frames.items():
        place = ((each.f_code, line) for each, line in traceback.walk_stack(frame))
        places.setdefault(tuple(itertools.islice(place, DEEPEST)), []).append((ident, frame))
    return dict(sorted(places.items(), key=lambda item: len(item[1])))


def _batches(threads: list[tuple[int, FrameType]]) -> Iterator[list[tuple[int, FrameType]]]:
    for at in range(0, len(threads), MOST_HEADS):
        yield threads[at : at + MOST_HEADS]


def _heads(
    ours: dict[int, WorkerThread], lost: Collection[WorkerThread]
) -> Callable[[int, FrameType], ThreadHead]:
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    now = time.monotonic_ns()

    def head(ident: int, frame: FrameType) -> ThreadHead:
        name, thread = _word(names.get(ident, "")), ours.get(ident)
        if thread is None:
            of_server = ident == threading.main_thread().ident or not application_stack(frame)
            return ThreadHead(ident, name, "server" if of_server else "application")
        if thread in lost:
            return ThreadHead(ident, name, "abandoned", seconds=_seconds(thread.record.began, now))
        connection = thread.connection
        exchange = connection.exchange if connection is not None else None
        if exchange is None:
            return ThreadHead(ident, name, "idle")
        request = exchange.request
        return ThreadHead(
            ident,
            name,
            "request",
            _word(request.method),
            _word(request.target.decode("latin-1")),
            _word(request.id),
            _seconds(exchange.began, now),
        )

    return head


def _seconds(began: int, now: int) -> float:
    return max(0, now - began) / SECOND


def _word(text: str) -> str:
    return encodable(text)[:WORD_LIMIT]


def _shortened(text: str) -> str:
    """The innermost frames of a longer one."""
    text = encodable(text)
    return text if len(text) <= PLACE_LIMIT else _CUT + text[len(_CUT) - PLACE_LIMIT :].partition("\n")[2]
