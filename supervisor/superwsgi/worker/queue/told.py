"""What others can see of the requests that wait."""

from __future__ import annotations

from superwsgi.board.scoreboard import WorkerWriter
from superwsgi.worker.queue.queue import RequestQueue


def tell_queue(queue: RequestQueue, board: WorkerWriter) -> None:
    """A connection has come into the queue, or has left it."""
    board.set("queued", queue.size)
    board.set("waiting_since", queue.since)
    if queue.has_gates:
        board.set("gated", queue.gated)
        board.set("gated_since", queue.gated_since)
        board.set("gated_at", 0 if queue.gated_at is None else queue.gated_at.number)
