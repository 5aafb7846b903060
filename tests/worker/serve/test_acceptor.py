"""Which worker takes a connection."""

from __future__ import annotations

import pytest

from superwsgi.worker.serve.acceptor import better_placed, over_share


@pytest.mark.parametrize(
    ("own", "peers", "over"),
    [
        (5, [], False),
        (1, [(0, 8)], False),
        (2, [(0, 8)], True),
        (2, [(0, 0)], False),
        (54, [(50, 8), (60, 8)], False),
        (55, [(50, 8), (60, 8)], True),
        (9, [(9, 8), (9, 8)], False),
    ],
)
def test_over_share(own, peers, over):
    assert over_share(own, peers) is over


@pytest.mark.parametrize("workers", [2, 4, 9])
def test_the_share_of_200_connections(workers):
    """Whoever happens to be asked, each worker at its worst moment."""
    counts = [0] * workers
    for n in range(200):
        asked = n // 7 % workers
        while over_share(counts[asked] + 1, [(c, 8) for w, c in enumerate(counts) if w != asked]):
            asked = (asked + 1) % workers
        counts[asked] += 1
    assert max(counts) / min(counts) <= 1.25


@pytest.mark.parametrize(
    ("free", "peers", "better"),
    [(1, [(0, 8)], False), (0, [(0, 8)], True), (0, [(0, 0)], False), (0, [], False)],
)
def test_better_placed(free, peers, better):
    assert better_placed(free, peers) is better
