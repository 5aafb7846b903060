"""What all threads do right now, for a master that asks. Runs in the main thread, which is never in the
application, and disturbs nobody: it takes no lock of ours, and reads what the others change meanwhile.

Threads at the same place are told of together: of a thousand, most wait for requests.
"""

from __future__ import annotations

import itertools
import threading
import time
import traceback
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

from superwsgi import unpatched
from superwsgi.log.frames import DEEPEST, At, application_stack, summary
from superwsgi.log.spelling import encodable
from superwsgi.messages import MOST_HEADS, MOST_PLACES, PLACE_LIMIT, WORD_LIMIT, ThreadHead, ThreadsAt
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.threads.thread import WorkerThread
from superwsgi.worker.threads.where import where

_CUT: Final = "  ...\n"

_MAIN: Final = threading.main_thread().ident  # asked for before gevent gives it another one

_Place = tuple[tuple[object, int], ...]


class Standing(NamedTuple):
    """A greenlet that the application has started itself."""

    ident: int
    name: str
    at: At


def threads_at(
    question: int,
    serving: Iterable[WorkerThread],
    lost: Collection[WorkerThread],
    others: Callable[[Mapping[int, At]], Iterable[Standing]] = lambda of_threads: (),
) -> Iterator[ThreadsAt]:
    """All threads of this process, as the answer to that question. `serving` are those of the pool, `lost`
    those whose requests have been ended in their place; `others` has greenlets, given where the system's
    threads are."""
    ours = {thread.ident: thread for thread in [*lost, *serving]}
    of_threads = where()
    started = {each.ident: each for each in others(of_threads)}
    head = _heads(ours, lost, {ident: each.name for ident, each in started.items()})
    found = {ident: each.at(of_threads) for ident, each in ours.items()}
    found |= {ident: each.at for ident, each in started.items()}
    places = _places(_each_once(of_threads, found))
    for at, threads in places[:MOST_PLACES]:
        application = application_stack(at)
        text = application or "".join(summary(at).format())
        for some in _batches(threads):
            heads = [head(ident, bool(application)) for ident in some]
            yield ThreadsAt(question, heads, _shortened(text))
    left_out = sum([len(threads) for _, threads in places[MOST_PLACES:]])
    yield ThreadsAt(question, [], left_out=left_out, last=True)


def _each_once(of_threads: Mapping[int, At], found: dict[int, At | None]) -> dict[int, At]:
    """Where each is. What a greenlet does that runs is not told again of the thread that it runs in."""
    told = {id(at) for at in found.values()}
    rest = {ident: at for ident, at in of_threads.items() if id(at) not in told}
    return rest | {ident: at for ident, at in found.items() if at is not None}


def _places(found: dict[int, At]) -> list[tuple[At, list[int]]]:
    """Where threads are, and which; those that are alone there first."""
    places: dict[_Place, tuple[At, list[int]]] = {}
    for ident, at in found.items():
        places.setdefault(_place(at), (at, []))[1].append(ident)
    return sorted(places.values(), key=lambda item: len(item[1]))


def _place(at: At) -> _Place:
    if isinstance(at, traceback.StackSummary):
        return tuple([(each.filename, each.lineno or 0) for each in at])
    lines = ((each.f_code, line) for each, line in traceback.walk_stack(at))
    return tuple(itertools.islice(lines, DEEPEST))


def _batches(threads: list[int]) -> Iterator[list[int]]:
    for at in range(0, len(threads), MOST_HEADS):
        yield threads[at : at + MOST_HEADS]


def _heads(
    ours: dict[int, WorkerThread], lost: Collection[WorkerThread], started: dict[int, str]
) -> Callable[[int, bool], ThreadHead]:
    names = started | _names() | {ident: thread.name for ident, thread in ours.items()}
    now = time.monotonic_ns()

    def head(ident: int, in_application: bool) -> ThreadHead:
        name, thread = _word(names.get(ident, "")), ours.get(ident)
        if thread is None:
            of_server = ident == _MAIN or not in_application
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


def _names() -> dict[int, str]:
    """Not by threading.enumerate(), which takes a lock that greenlets may hold."""
    known: dict[int, threading.Thread] = threading._active  # type: ignore[attr-defined]
    return {ident: thread.name for ident, thread in known.copy().items()} | unpatched.names


def _seconds(began: int, now: int) -> float:
    return max(0, now - began) / SECOND


def _word(text: str) -> str:
    return encodable(text)[:WORD_LIMIT]


def _shortened(text: str) -> str:
    """The innermost frames of a longer one."""
    text = encodable(text)
    return text if len(text) <= PLACE_LIMIT else _CUT + text[len(_CUT) - PLACE_LIMIT :].partition("\n")[2]
