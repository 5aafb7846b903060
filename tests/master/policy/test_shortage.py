"""When threads count as short, what is said of it, and when it is over. Looks are a second apart."""

from dataclasses import replace

import msgspec
import pytest

from superwsgi.board.counts import Counts, InFlight, WorkerCounters
from superwsgi.config.parts.paths import PathRule
from superwsgi.config.schema import Site
from superwsgi.config.sections import Elastic, Limits
from superwsgi.master.policy.shortage import CALM, PATIENCE, Begins, Ends, Shortage, ThreadsView, judge, view

SLOW, EVENTS = ("GET", "/reports/17?day=1"), ("GET", "/events")
FREE = ThreadsView(1, 8, 8, 7, in_hand=(SLOW,))
FULL = ThreadsView(8, 8, 8, 0, in_hand=(SLOW,) * 6 + (EVENTS,) * 2)
QUEUE = ThreadsView(8, 8, 8, 0, 3, 2.0, (SLOW,) * 8)
STREAMS = ThreadsView(8, 8, 8, 0, in_hand=(EVENTS,) * 8)
GROWS = ThreadsView(4, 4, 32, 28, in_hand=(SLOW,) * 4)
COMPUTES = ThreadsView(4, 4, 32, 0, 6, 1.0, (SLOW,) * 4)
AT_MOST = ThreadsView(32, 32, 32, 0, in_hand=(SLOW,) * 32)
BEGINS = ThreadsView(0, 0, 8, 0)
HELD_BACK = ThreadsView(4, 8, 8, 4, 2, 1.0, (SLOW,) * 4)


def looks(*rows, every=1.0, state=None):
    """What is said at each look, which finds the workers of its row."""
    said = []
    for number, workers in enumerate(rows):
        state, event = judge(state, workers, 100.0 + number * every)
        said.append(event)
    return said


def begun(*workers):
    """The fields of what is said when it goes on like this."""
    (event,) = filter(None, looks(*[workers] * 5))
    assert isinstance(event, Begins)
    return event.fields


@pytest.mark.parametrize(
    ("workers", "short"),
    [
        ([FREE, FREE], False),
        ([FULL, FULL], True),
        ([AT_MOST], True),
        ([GROWS], False),
        ([FULL, FREE], False),
        ([QUEUE, FREE], True),
        ([FULL, BEGINS], False),
        ([HELD_BACK], True),
        ([BEGINS], False),
        ([], False),
    ],
    ids=[
        "free", "all taken", "as many as there may be", "more may be started", "one has free threads",
        "a queue beside a free one", "one has just begun", "a queue and free threads", "none has begun",
        "no worker",
    ],
)  # fmt: skip
def test_what_counts(workers, short):
    assert any(looks(*[workers] * 10)) is short


def test_it_is_said_once_after_some_seconds():
    said = looks(*[[FULL, FULL]] * 10)
    assert [isinstance(event, Begins) for event in said] == [n == PATIENCE for n in range(10)]


@pytest.mark.parametrize("every", [0.1, 1.0, 2.0, 60.0])
def test_however_often_somebody_looks(every):
    said = looks(*[[FULL]] * 50, every=every)
    assert sum(event is not None for event in said) == 1
    first = next(n for n, event in enumerate(said) if event)
    assert first >= 1
    assert PATIENCE <= first * every + 1e-9 < PATIENCE + every + 1e-9


def test_a_burst_is_not_worth_a_line():
    assert not any(looks([QUEUE], [FREE], [QUEUE], [QUEUE], [QUEUE], [FREE], [QUEUE]))


def test_when_it_is_over_that_is_said_once():
    said = looks(*[[QUEUE, FULL]] * 6, *[[FREE, FREE]] * 10)
    ends = [n for n, event in enumerate(said) if isinstance(event, Ends)]
    assert ends == [5 + CALM]
    assert said[ends[0]].fields == {"lasted": "5s", "most_queued": "3", "longest_wait": "2s"}


def test_it_does_not_flap():
    said = looks(*[[QUEUE]] * 4, *[[FREE], [FREE], [FREE], [QUEUE]] * 10)
    assert [type(event) for event in said if event] == [Begins]


def test_between_two_pairs_of_lines_there_are_some_seconds():
    said = looks(*[*[[QUEUE]] * int(PATIENCE + 1), *[[FREE]] * int(CALM)] * 10)
    assert [type(event) for event in said if event] == [Begins, Ends] * 10
    assert len(said) == 10 * (PATIENCE + 1 + CALM)


def test_who_takes_the_threads():
    assert begun(FULL, FULL) == {
        "workers": "2 of 2",
        "threads": "16 of 16",
        "queued": "0",
        "taken_by": "GET /reports/* 75 %, GET /events 25 %",
        "next": "raise `threads` or `workers`, or make these pages quicker; an open event stream holds a "
        "thread: superwsgi reference threads",
    }


def test_greenlets_are_called_so():
    fields = begun(replace(QUEUE, green=True), replace(FREE, green=True))
    assert fields["next"] == (
        "other workers have free greenlets, but a connection stays with its worker: raise `green`, or make "
        "these pages quicker; an open event stream holds a greenlet: superwsgi reference threads"
    )


def test_event_streams_and_a_page_that_waits():
    fields = begun(STREAMS, ThreadsView(8, 8, 8, 0, 1, 4.0, (EVENTS,) * 8))
    assert (fields["queued"], fields["oldest"]) == ("1", "4s")
    assert fields["taken_by"] == "GET /events 100 %"


def test_a_queue_in_one_of_two_workers():
    fields = begun(QUEUE, FREE)
    assert (fields["workers"], fields["threads"], fields["queued"]) == ("1 of 2", "8 of 8", "3")
    assert fields["taken_by"] == "GET /reports/* 100 %"
    assert fields["next"].startswith("other workers have free threads")


@pytest.mark.parametrize("free", [0, 28])
def test_threads_that_compute_leave_no_cpu_for_more(free):
    """The worker finds that out time and again, and says meanwhile that there may be more."""
    fields = begun(replace(COMPUTES, free=free))
    assert (fields["threads"], fields["queued"]) == ("4 of 4", "6")
    assert fields["next"].startswith("no more are started while these compute")


def test_many_groups():
    paths = (
        [("GET", "/a")] * 500 + [("POST", "/a")] * 300 + [("GET", "/c")] * 2 + [("GET", "/d"), ("GET", "/e")]
    )
    fields = begun(ThreadsView(804, 804, 804, 0, in_hand=tuple(paths)))
    assert fields["taken_by"] == "GET /a 62 %, POST /a 37 %, GET /c <1 %, others <1 %"


def test_threads_that_are_taken_by_nobody():
    assert begun(ThreadsView(0, 8, 8, 0))["taken_by"] == ""


def test_a_wait_of_unknown_length_is_as_long_as_it_was_seen():
    assert begun(ThreadsView(8, 8, 8, 0, 3, None, (SLOW,) * 8))["oldest"] == "3s"


def test_without_any_worker_nothing_changes():
    """They are stopped, or replaced: nobody is served meanwhile."""
    said = looks(*[[QUEUE]] * 4, *[[]] * 20, *[[FREE]] * 10)
    assert [type(event) for event in said if event] == [Begins, Ends]
    assert isinstance(said[4 + 20 + int(CALM) - 1], Ends | None)


def test_what_an_earlier_program_has_said_is_not_said_again():
    state = Shortage(since=80.0, last=99.0, queued=7, oldest=12.5, said=True)
    (event,) = filter(None, looks(*[[QUEUE]] * 5, *[[FREE]] * 10, state=state))
    assert event == Ends({"lasted": "24s", "most_queued": "7", "longest_wait": "12.5s"})


# What a scoreboard says.

SITE = Site(name="x", apps={"/": "app:app"}, threads=Elastic(min=4, max=32), limits=Limits(queue=500))
HUGE = (1 << 63) - 1


def counters(*in_flight, **more):
    zero = dict.fromkeys(WorkerCounters.__dataclass_fields__, 0)
    return WorkerCounters(
        **{**zero, "accepting": True, "counts": Counts(), "in_flight": in_flight, "taken_over": (), **more}
    )


REQUEST = InFlight(0, 1, 90.0, "GET", "/reports/17", "3f-1")


@pytest.mark.parametrize(
    ("read", "seen"),
    [
        (counters(threads=4, free=32), ThreadsView(0, 4, 32, 32)),
        (
            counters(REQUEST, threads=4, free=31, queued=2, waiting_since=95.0),
            ThreadsView(1, 4, 32, 31, 2, 5.0, (("GET", "/reports/17"),)),
        ),
        (counters(threads=4, free=32, queued=2), ThreadsView(0, 4, 32, 32, 2)),
        (counters(threads=4, free=32, waiting_since=95.0), ThreadsView(0, 4, 32, 32)),
        (counters(threads=HUGE, free=HUGE, queued=HUGE), ThreadsView(0, 32, 32, 32, 500)),
        (counters(queued=1, waiting_since=HUGE / 1e9), ThreadsView(0, 0, 32, 0, 1, 0.0)),
        (counters(queued=1, waiting_since=1e-9), ThreadsView(0, 0, 32, 0, 1, 50.0)),
    ],
    ids=["idle", "a queue", "of unknown age", "none", "forged", "since after the look", "before its worker"],
)
def test_what_is_believed(read, seen):
    assert view(read, SITE, ready_at=50.0, now=100.0) == seen


RULED = msgspec.structs.replace(SITE, paths={"/a": PathRule(), "/b": PathRule(threads=2)})


@pytest.mark.parametrize(
    ("read", "gated"),
    [
        (counters(gated=3, gated_since=95.0, gated_at=2), (3, 5.0, "paths./b.threads")),
        (counters(gated=3), (3, None, None)),
        (counters(gated=HUGE, gated_since=HUGE / 1e9, gated_at=HUGE), (1000, 0.0, None)),
        (counters(gated_since=95.0, gated_at=1), (0, None, None)),
    ],
    ids=["some", "of unknown age", "forged", "none"],
)
def test_those_that_wait_for_their_rule_lack_no_thread(read, gated):
    seen = view(read, RULED, ready_at=50.0, now=100.0)
    assert (seen.gated, seen.gated_for, seen.gated_by) == gated
    assert (seen.queued, seen.oldest, seen.short) == (0, None, False)
    assert view(read, SITE, ready_at=50.0, now=100.0).gated == 0


def test_more_requests_than_threads_are_not_believed():
    seen = view(counters(*[REQUEST] * 33, threads=1), SITE, ready_at=50.0, now=100.0)
    assert (seen.busy, seen.total, seen.most) == (32, 32, 32)
