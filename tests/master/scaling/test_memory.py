"""For how many workers there is memory."""

import pytest

from superwsgi.master.memory import pressure
from superwsgi.master.scaling.memory import MemoryView, left, room
from superwsgi.system.machine import Room

M = 1 << 20


def view(**more):
    """Two workers of 100M, of which 40M are the mold's."""
    return MemoryView(
        **{"total": 2000 * M, "left": 600 * M, "resident": (100 * M, 100 * M), "own": 60 * M, **more}
    )


@pytest.mark.parametrize(
    ("left", "workers"),
    [(600 * M, 2 + 9), (180 * M, 2 + 2), (120 * M, 2 + 1), (119 * M, 2), (60 * M, 2), (0, 2), (-M, 2)],
)
def test_what_is_left_has_to_hold_a_replacement_too(left, workers):
    assert room(view(left=left)).workers == workers


def test_what_is_left_ends_where_memory_is_short():
    roomy, tight = Room("the machine", 8000 * M, 0, 0), Room("memory.high", 1000 * M, 500 * M, 700 * M)
    assert left([roomy, tight]) == 250 * M
    filled = tight._replace(needed=700 * M + 250 * M)
    assert pressure.is_short(filled, None)
    assert not pressure.is_short(filled._replace(needed=filled.needed - M), None)
    assert left([]) is None


def test_smaller_ones_may_become_as_large():
    assert room(view(resident=(100 * M, 40 * M), left=240 * M)).workers == 2 + 2


@pytest.mark.parametrize(
    ("limits", "workers"),
    [
        ({"limit": 400 * M, "measure": "uss"}, 5),
        ({"limit": 400 * M, "measure": "rss"}, (2000 - 40) // (400 - 40)),
        ({"limit": 900 * M, "measure": "pss"}, 2),
        ({"limit": 10 * M, "measure": "rss"}, 11),  # they are larger than they may be: as they are
    ],
)
def test_as_large_as_the_site_file_lets_them_become(limits, workers):
    assert room(view(key="memory.soft", **limits)).workers == workers


def test_the_reason_names_the_figures():
    left = room(view(left=100 * M))
    assert (left.of, left.reason) == (
        "memory",
        "memory: 100M left, a worker takes 60M of its own, and one more has to fit in for a replacement",
    )
    limit = room(view(limit=900 * M, key="memory.hard"))
    assert (limit.of, limit.reason) == (
        "memory.hard",
        "memory.hard lets a worker become 900M, of 2G that there are",
    )


def test_nothing_is_known_of_a_worker_without_memory_of_its_own():
    assert room(view(own=0)).workers > 2
