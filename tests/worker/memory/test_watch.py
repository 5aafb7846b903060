"""When the watch counts requests, and what it has seen of them. The memory is that of this process."""

import mmap
import select
import tracemalloc
from collections import Counter

import pytest

from superwsgi.http.request.head import Request
from superwsgi.system import procfs
from superwsgi.worker.connection.alarm import SECOND
from superwsgi.worker.memory.watch import GROWN, KINDS, NEWS, OFTEN, RARE, STILL, MemoryWatch

MOMENT = 1000 * SECOND


@pytest.fixture
def watch():
    made = MemoryWatch([])
    yield made
    made.close_in_child()


def request(target="/a", method="GET"):
    return Request(method, target.encode("latin-1"), "HTTP/1.1", {})


def is_readable(fd):
    """Also where its number is too high for select(2)."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def grow(watch, at=MOMENT):
    """It looks twice, and meanwhile this process grows: by memory of the kernel's, as an allocator may still
    have what an earlier test has freed."""
    watch.look(at)
    more = mmap.mmap(-1, 12 * GROWN, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    more[:: mmap.PAGESIZE] = bytes(len(more) // mmap.PAGESIZE)
    watch.look(at + OFTEN)
    return more


def test_nothing_is_counted_while_nothing_grows(watch):
    watch.look(MOMENT)
    watch.look(MOMENT + OFTEN)
    assert (watch.counts, watch.looks()) == (False, [])


def test_it_counts_from_growth_on_until_there_was_none_for_long(watch):
    more = grow(watch)
    assert watch.counts
    watch.look(MOMENT + STILL)
    assert watch.counts
    watch.look(MOMENT + OFTEN + STILL)
    assert not watch.counts
    assert more


def test_looks_say_what_has_ended_between_them(watch):
    more = grow(watch)
    for at in range(200):
        watch.ended(request("/orders/7" if at % 4 else "/"), MOMENT + OFTEN + at * SECOND)
    first, *others = watch.looks()
    assert (first.joined, {look.joined for look in others}) == (False, {True})
    together = [look.ended for look in others]
    assert {kind for ended in together for kind in ended} == {"GET /", "GET /orders/*"}
    assert 150 < sum(sum(ended.values()) for ended in together) < 200
    assert first.resident > first.used > 0 or first.used > first.resident > 0
    assert more


def test_there_is_something_to_judge_after_some_looks(watch):
    more = grow(watch)
    assert not is_readable(watch.news)
    for at in range(24 * NEWS):
        watch.ended(request(), MOMENT + OFTEN + at * SECOND // 10)
        watch.look(MOMENT + OFTEN)
    assert is_readable(watch.news)
    assert more


def test_what_is_too_much_to_be_counted_is_not_compared(watch):
    more = grow(watch)
    while watch.counts:
        watch.ended(request(), MOMENT + OFTEN)
    before = len(watch.looks())
    watch.look(MOMENT + 2 * OFTEN)
    assert watch.counts
    watch.ended(request(), MOMENT + 2 * OFTEN + 60 * SECOND)  # whatever the last look has cost
    assert [look.joined for look in watch.looks()[before:]] == [False]
    assert more


def test_the_number_of_kinds_is_bounded(watch):
    more = grow(watch)
    for at in range(2 * KINDS):
        name = "".join(chr(ord("a") + int(digit)) for digit in str(at))
        watch.ended(request(f"/{name}"), MOMENT + OFTEN + at * SECOND)  # however long a look takes here
    kinds = {kind for look in watch.looks() for kind in look.ended}
    assert len(kinds) <= KINDS + 1
    assert "other" in kinds
    assert more


def test_a_forked_child_lets_go_of_it():
    watch = MemoryWatch([])
    more = grow(watch)
    before = set(procfs.descriptors())
    watch.close_in_child()
    assert not watch.counts
    assert len(before - set(procfs.descriptors())) >= 2
    assert more


def test_paths_that_clients_make_up_hide_nobody(watch):
    more = grow(watch)
    for number in range(2 * KINDS):
        watch.ended(request(f"/{words(number)}"), MOMENT + OFTEN)
    for at in range(1, 100):
        watch.look(MOMENT + OFTEN + at * SECOND)
        watch.ended(request("/leak"), MOMENT + OFTEN + at * SECOND)
    ended = Counter()
    for look in watch.looks():
        ended.update(look.ended)
    assert ended["GET /leak"] > 80
    assert len(ended) <= KINDS + 1
    assert more


def test_kinds_that_are_asked_for_stay(watch):
    more = grow(watch)
    for number in range(2 * KINDS):
        for _ in range(RARE):
            watch.ended(request(f"/{words(number)}"), MOMENT + OFTEN)
    watch.look(MOMENT + OFTEN + 10 * SECOND)
    watch.ended(request("/new"), MOMENT + OFTEN + 10 * SECOND)
    assert len({kind for look in watch.looks() for kind in look.ended}) >= KINDS - 1
    assert more


def words(number):
    """A word for each number."""
    return "x" + "".join("abcdefghij"[int(digit)] for digit in str(number))


def test_long_targets_that_clients_make_up_are_not_kept(watch):
    more = grow(watch)
    tracemalloc.start()
    try:
        for number in range(900):
            watch.ended(request(f"/?{number}" + "x" * 8000), MOMENT + OFTEN)
        assert tracemalloc.get_traced_memory()[0] < 1 << 20
    finally:
        tracemalloc.stop()
    assert more


def test_that_it_grows_no_more_is_news(watch):
    more = grow(watch)
    assert (watch.grows, is_readable(watch.news)) == (True, False)
    watch.look(MOMENT + 2 * OFTEN + STILL)
    assert (watch.grows, is_readable(watch.news)) == (False, True)
    assert more
