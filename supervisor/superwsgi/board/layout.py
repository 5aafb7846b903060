"""Which fields a scoreboard has, one table per record. Whatever changes here, scoreboard.VERSION goes up."""

from __future__ import annotations

from typing import Final

from superwsgi.board.counts import ANSWERS, BUCKETS, REFUSED

WORD: Final = 8

LINE_WORDS: Final = 16
"""Words that a processor may fetch together: two lines of its caches. Slots begin with such a block, so that
no worker writes into one of another's, whose core would have to fetch it anew after each write."""

METHOD_BYTES: Final = 16
PATH_BYTES: Final = 112
ID_BYTES: Final = 48

# Field tables: name -> number of 64-bit words, in order.
HEADER: Final = {"magic": 1, "version": 1, "slots": 1, "threads": 1}
WORKER: Final = {
    "pid": 1,
    "accepting": 1,  # 1 while it takes new connections
    "connections": 1,  # open now
    "accepted": 1,  # since start
    "queued": 1,  # complete requests that wait for a thread now
    "waiting_since": 1,  # monotonic ns, when the first of them began to wait; 0 if there is none
    "gated": 1,  # more that wait for their rule, since as many as it allows are in the application
    "gated_since": 1,  # monotonic ns, when the first of these began to wait; 0 if there is none
    "gated_at": 1,  # which rule that one waits for: its place in `paths`, from 1
    "records": 1,  # of the thread records below so many, from the first, have been in use
    "counting": 1,  # in so many of these, from the first, answers are counted
    "threads": 1,  # requests that its threads could run at once now
    "free": 1,  # further requests that it would run at once, with more threads if need be
    "abandoned": 1,  # threads that were written off, and are in the application still
    "left": 1,  # threads that were given up since their clients had left, and wait in the application still
    "taken": 1,  # requests that arrived together, while not all of them are answered and counted
    "sending": 1,  # answers that their clients have not taken yet, and that are not counted yet
    "turned_away": 1,  # connections closed without an answer, as their client is not known
    "unlogged": 1,  # answers that have no line in the access log, as log.skip, log.sample and paths want it
    "quarantined": 1,  # requests answered 503, of the refused ones, as their kind is in quarantine
    "not_upgraded": 1,  # requests answered 503, of the refused ones, as limits.upgraded was reached
    "upgraded": 1,  # connections that the application has taken over now
    "upgrades": 1,  # such connections that have ended
    "shed": 1,  # requests refused so that others are answered in time; they are in `refused`, too
    "refused": len(REFUSED),  # answers of the server itself, each in the order of REFUSED
    "heartbeat": 1,  # monotonic ns, last turn of the loop
}
THREAD: Final = {
    "ident": 1,  # threading.get_ident()
    "state": 1,
    "started": 1,  # monotonic ns, when the application was called with the request in hand
    "method": METHOD_BYTES // WORD,
    "path": PATH_BYTES // WORD,
    "id": ID_BYTES // WORD,
    # From here on all are counts.
    "sent": 1,  # bytes of response bodies
    "app_time": 1,  # ns in the application
    "time": 1,  # ns from a request's complete arrival until its answer was sent
    "answers": ANSWERS,  # by method, and of each by class of status
    "app_latency": BUCKETS,  # in the application
    "latency": BUCKETS,  # from arrival to the last byte
}
"""Of the threads; and last of the answers that no thread waits for, those of the server itself and those that
clients are slow to take: in that record only the counts are used."""


def offsets(table: dict[str, int]) -> tuple[dict[str, int], int]:
    """Where each field of a table begins, and how many words they are."""
    offsets, at = {}, 0
    for name, words in table.items():
        offsets[name] = at
        at += words
    return offsets, at
