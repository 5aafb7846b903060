"""A site's health in a word, and the reasons for it."""

from dataclasses import replace

import pytest

from superwsgi.board.counts import REFUSED, Counts
from superwsgi.master.policy.health import (
    CompanionSigns,
    Health,
    SiteSigns,
    WorkerSigns,
    judge,
    spell_workers,
)
from superwsgi.master.policy.last_minute import LastMinute

FINE = WorkerSigns(1, cpu=0.9)


def lately(requests=100, failed=0, seconds=60.0, shed=0, not_upgraded=0, quarantined=0, **refused):
    """What was answered, in `failed` cases by the application with 5xx; `s503=30` were refused with that."""
    counted = {int(status[1:]): count for status, count in refused.items()}
    failures = failed + sum(count for status, count in counted.items() if status >= 500)
    return LastMinute(
        seconds,
        Counts(
            answers=(requests - failures, 0, 0, failures),
            shed=shed,
            not_upgraded=not_upgraded,
            quarantined=quarantined,
            refused=tuple(counted.get(status, 0) for status in REFUSED),
        ),
    )


SITE = SiteSigns("running", 2, (FINE, replace(FINE, number=2)), lately())


def test_nothing_is_wrong():
    assert judge(SITE).health is Health.HEALTHY
    assert judge(SITE).reasons == ()


@pytest.mark.parametrize(
    "signs",
    [
        replace(SITE, phase="reloading"),
        replace(SITE, wanted=1),
        replace(SITE, lately=lately(s400=3, s408=2, s413=90, s429=4)),
        replace(SITE, lately=lately(failed=9)),
        replace(SITE, lately=lately(requests=0)),
        replace(SITE, expires_in=60.0),
        replace(SITE, wanted=4, expected=2),
    ],
    ids=["a reload", "one to spare", "clients' mistakes", "a page fails", "no request", "expires", "growing"],
)
def test_nothing_that_anybody_has_to_be_woken_for(signs):
    assert judge(signs).health is Health.HEALTHY


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        (replace(SITE, workers=(FINE,)), "1 worker is missing"),
        (replace(SITE, wanted=4), "2 workers are missing"),
        (replace(SITE, wanted=4, expected=1), "1 worker is missing"),
        (
            replace(SITE, wanted=3, expected=1, crash_loop=True),
            "1 worker is missing: crash loop, they die right after their start",
        ),
        (
            replace(SITE, companions=(CompanionSigns("mail", False, "exit code 1"),)),
            "companion mail: exit code 1",
        ),
        (replace(SITE, crash_loop=True), "crash loop: workers die right after their start"),
        (
            replace(SITE, workers=(FINE,), crash_loop=True),
            "1 worker is missing: crash loop, they die right after their start",
        ),
        (
            replace(SITE, lately=lately(requests=30, s503=30)),
            "30 of 30 requests answered 503 in the last minute: none of their threads was free in time",
        ),
        (
            replace(SITE, lately=lately(requests=30, s503=20, not_upgraded=12, quarantined=8)),
            "12 of 30 requests answered 503 in the last minute: as many connections are upgraded as "
            "limits.upgraded allows",
        ),
        (
            replace(SITE, lately=lately(requests=30, s503=20, shed=12)),
            "20 of 30 requests answered 503 in the last minute: none of their threads was free in time; "
            "12 were shed so that others were (limits.queue_age)",
        ),
        (
            replace(SITE, lately=lately(requests=40, s504=1, seconds=12.0)),
            "1 of 40 requests answered 504 in the last 12s: "
            "the application took longer than timeouts.request, or their rule in paths, allows",
        ),
        (
            replace(SITE, lately=lately(failed=10)),
            "the application answered 10 of 100 requests 5xx in the last minute",
        ),
        (
            replace(SITE, workers=(FINE, WorkerSigns(2, silent=12.0))),
            "worker 2 hangs: no sign of life for 12s",
        ),
        (
            replace(SITE, workers=(FINE, WorkerSigns(2, stopped=1.5))),
            "worker 2 has been stopped by a signal for 1.5s",
        ),
        (
            replace(SITE, workers=(FINE, WorkerSigns(2, abandoned=1, cpu=0.88))),
            "worker 2: 1 thread is still in the application after a 504, CPU 88 %",
        ),
        (
            replace(SITE, workers=(FINE, WorkerSigns(2, abandoned=2))),
            "worker 2: 2 threads are still in the application after a 504",
        ),
        (replace(SITE, out_of_threads=12.0), "out of threads for 12s"),
        (
            replace(SITE, mold_lost=True),
            "its mold is lost: until there is another one, workers that end are not replaced",
        ),
        (replace(SITE, trouble="No module named 'x'"), "last reload failed: No module named 'x'"),
        (replace(SITE, expires_in=-7200.0), "a certificate expired 2h00m ago"),
    ],
)
def test_something_is_wrong(signs, reason):
    assert judge(signs).health is Health.DEGRADED
    assert judge(signs).reasons == (reason,)


@pytest.mark.parametrize(
    ("signs", "reason"),
    [
        (replace(SITE, phase="starting", workers=()), "2 workers are still starting"),
        (replace(SITE, phase="stopping", workers=()), "it is being stopped"),
        (replace(SITE, workers=()), "2 workers are missing"),
        (
            replace(SITE, workers=(WorkerSigns(1, stopped=3.0),), wanted=1),
            "worker 1 has been stopped by a signal for 3s",
        ),
        (replace(SITE, workers=(), wanted=0), "no worker serves"),
    ],
)
def test_nobody_is_served(signs, reason):
    assert judge(signs).health is Health.DOWN
    assert judge(signs).reasons == (reason,)


@pytest.mark.parametrize(
    ("bounds", "pinned", "text"),
    [
        (None, False, "3 of 4 workers"),
        (None, True, "3 of 4 workers"),
        ((2, 8), False, "3 of 4 workers (2 to 8)"),
        ((2, 8), True, "3 of 4 workers (asked for)"),
    ],
)
def test_how_many_of_how_many(bounds, pinned, text):
    assert spell_workers(3, 4, bounds, pinned=pinned) == text


def test_the_gravest_reason_comes_first():
    signs = replace(SITE, workers=(FINE,), lately=lately(s503=1), trouble="x", out_of_threads=3.0)
    assert [reason.split()[-1] for reason in judge(signs).reasons] == ["missing", "time", "3s", "x"]
