"""Which of the workers takes a new connection: a decision of each worker by itself, from the scoreboard.

`peers` are (connections, free threads) of the other workers that accept connections now.
"""

from __future__ import annotations

from collections.abc import Iterable


def over_share(connections: int, peers: Iterable[tuple[int, int]]) -> bool:
    """Whether a worker has clearly more connections than a peer that could take the next one.

    The kernel alone favours one worker, 3 to 1 and worse, and keep-alive connections stay where they are.
    Goal: most to fewest at most 1.25 for 200 connections on 4 workers. The slack keeps workers from leaving
    the listener all the time where there are few connections.
    """
    idle = [theirs for theirs, free in peers if free > 0]
    if not idle:
        return False
    fewest = min(idle)
    return connections > fewest + 1 + fewest // 16


def better_placed(free_threads: int, peers: Iterable[tuple[int, int]]) -> bool:
    """Whether a peer has a free thread while this worker has none: here a request would wait for nothing."""
    return free_threads <= 0 and any(free > 0 for _, free in peers)
