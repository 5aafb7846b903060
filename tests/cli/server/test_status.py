"""How `superwsgi status` spells a site. Real ones: tests/e2e/test_status.py, test_out_of_threads.py."""

import re

import click
import pytest
from click.testing import CliRunner
from msgspec.structs import fields, replace

from superwsgi.board.counts import BOUNDS, BUCKETS
from superwsgi.cli.main import main
from superwsgi.cli.server.screen import spell, spell_running
from superwsgi.cli.server.watch import Watchable
from superwsgi.control import Snapshot
from superwsgi.snapshot import (
    AdminStatus,
    CertificateStatus,
    CompanionStatus,
    DeathStatus,
    LeakStatus,
    MemoryStatus,
    MinuteStatus,
    PathTotals,
    RunningStatus,
    SuspectStatus,
    ThreadsStatus,
    TotalsStatus,
    WorkerStatus,
)

QUIET = WorkerStatus(1, 3, "serving", 1234567, 7500.0, 61422, 0, 1, 17, 112 << 20)
SITE = Snapshot(
    site="shop",
    program="0.1.0",
    pid=812,
    uptime=7500.0,
    phase="running",
    generation=3,
    candidate=None,
    wanted=1,
    addresses=["http://127.0.0.1:8000"],
    trouble="",
    workers=[QUIET],
    health="healthy",
    serving=1,
)
JSON = [Snapshot, ThreadsStatus, MinuteStatus, TotalsStatus, WorkerStatus, MemoryStatus, CompanionStatus]
JSON += [PathTotals, SuspectStatus, CertificateStatus, RunningStatus, DeathStatus, AdminStatus]
OLDER = replace(SITE, health="", serving=None, phase="ready")
ANSWERS = {"2xx": 61_000, "3xx": 300, "4xx": 120, "5xx": 2}
COUNTED = {"requests": 61_422, "answers": ANSWERS, "accepted": 900, "turned_away": 0, "sent": 1 << 30}
MINUTE = MinuteStatus(**COUNTED, refused={}, seconds=60.0, rate=1023.7, p50=0.0021, p99=0.34, app_p50=0.0018)
TOTALS = TotalsStatus(
    **COUNTED,
    refused={},
    time=90.0,
    app_time=60.0,
    bounds=list(BOUNDS),
    latency=[0] * BUCKETS,
    app_latency=[0] * BUCKETS,
)


def head(width: int | None = None, **changes: object) -> list[str]:
    """The lines above the table."""
    text = spell(replace(SITE, **changes), width=width)
    return text[: text.index("\n\n")].splitlines()


def table(*workers: WorkerStatus, width: int | None = None) -> list[str]:
    """The lines of the table, and below it."""
    text = spell(replace(SITE, workers=list(workers)), width=width)
    return text[text.index("\n\n") + 2 :].splitlines()


class TestHead:
    def test_a_healthy_site(self) -> None:
        assert head() == [
            "shop: healthy, generation 3, 1 of 1 workers, up 2h05m",
            "http://127.0.0.1:8000, pid 812, superwsgi 0.1.0",
        ]

    def test_what_is_wrong_comes_next(self) -> None:
        reasons = ["1 worker is missing", "last reload failed: \x1b[2J"]
        first, *said, _ = head(health="degraded", wanted=2, phase="reloading", candidate=4, reasons=reasons)
        degraded = (
            "shop: degraded (reloading), generation 3 (generation 4 on its way), 1 of 2 workers, up 2h05m"
        )
        assert first == degraded
        assert said == ["  1 worker is missing", "  last reload failed: \\u001b[2J"]

    def test_the_last_minute(self) -> None:
        *_, rate, latency, application, total = head(minute=MINUTE, totals=TOTALS)
        assert rate == "last minute: 1024 requests/s, 61,422 requests, 120 answered 4xx, 2 answered 5xx"
        assert latency == "latency: p50 2.1ms, p99 340ms from arrival to the last byte"
        assert application == "in the application: p50 1.8ms, p99 -"
        assert total == "total: 61,422 requests, 120 answered 4xx, 2 answered 5xx"

    def test_less_than_a_minute_and_longer_than_the_last_bound(self) -> None:
        *_, rate, latency, _ = head(minute=replace(MINUTE, seconds=12.0, rate=0.25, p99=BOUNDS[-1]))
        assert rate.startswith("last 12s: 0.2 requests/s, ")
        assert "p99 over 1m00s" in latency

    def test_nothing_was_asked(self) -> None:
        nothing = dict.fromkeys(ANSWERS, 0)
        assert head(minute=replace(MINUTE, requests=0, answers=nothing))[-1] == "last minute: no requests"

    def test_refusals_by_reason(self) -> None:
        refused = {"413": 2, "503": 30, "599": 1}
        assert head(minute=replace(MINUTE, refused=refused, turned_away=4, shed=25))[3] == (
            "refused: 30 with 503 (no free thread), 2 with 413 (body too large), 1 with 599, "
            "25 of these shed (limits.queue_age), 4 closed, client not known"
        )

    def test_what_was_no_want_of_threads(self) -> None:
        minute = replace(MINUTE, refused={"503": 30}, quarantined=5, not_upgraded=7)
        assert head(minute=minute)[3] == (
            "refused: 18 with 503 (no free thread), 7 with 503 (limits.upgraded), 5 with 503 (in quarantine)"
        )
        minute = replace(MINUTE, refused={"503": 7}, not_upgraded=7)
        assert head(minute=minute)[3] == "refused: 7 with 503 (limits.upgraded)"

    @pytest.mark.parametrize(
        ("days", "said"),
        [
            (40.2, "40 days left"),
            (13.9, "warning: 13 days left"),
            (1.5, "warning: 1 day left"),
            (-2.5, "warning: expired 2 days ago"),
        ],
    )
    def test_a_certificate(self, days: float, said: str) -> None:
        certificate = CertificateStatus("/etc/shop.pem", 0.0, days)
        assert head(certificate=certificate)[2] == f"certificate: {said}, /etc/shop.pem"

    def test_threads(self) -> None:
        assert head(threads=ThreadsStatus(3, 4, 32))[2] == "threads: 3 of 4 busy, up to 32"
        full = ThreadsStatus(8, 8, 8, 5, 3.2, 1)
        assert head(threads=full)[2] == "threads: 8 of 8 busy, 1 abandoned, queued: 5 for 3.2s"
        left = replace(full, left=2)
        assert "1 abandoned, 2 whose clients have left, queued" in head(threads=left)[2]
        assert head(threads=ThreadsStatus(4, 4, 4, 5))[2] == "threads: 4 of 4 busy, queued: 5"

    def test_those_that_wait_for_their_rule(self) -> None:
        gated = ThreadsStatus(2, 4, 4, gated=3, gated_for=2.5, gated_by="paths./reports.threads")
        assert head(threads=gated)[2:4] == [
            "threads: 2 of 4 busy",
            "gated by paths./reports.threads: 3 for 2.5s",
        ]
        columns, row = table(replace(QUIET, threads=gated))
        assert "gated" in columns
        assert "3 for 2.5s" in row

    def test_an_older_master_says_less(self) -> None:
        assert spell(replace(OLDER, trouble="no module")).splitlines()[:2] == [
            "shop: ready, generation 3, 1 of 1 workers, up 2h05m",
            "last reload failed: no module",
        ]


class TestTable:
    def test_a_worker(self) -> None:
        columns, row = table(replace(QUIET, threads=ThreadsStatus(3, 4, 32), cpu=0.88))
        assert columns == ("worker  pid      gen  state    age    cpu   requests  threads    conns  memory")
        assert row == ("1       1234567  3    serving  2h05m  88 %  61422     3/4 of 32  17     112M")

    def test_requests_that_wait_and_threads_that_are_lost(self) -> None:
        full = replace(QUIET, threads=ThreadsStatus(4, 4, 4, 5, 3.2))
        lost = replace(QUIET, threads=ThreadsStatus(4, 4, 4, abandoned=2))
        columns, first, second, third = table(full, lost, WorkerStatus(3, 3, "missing"))
        assert columns.split()[8:10] == ["abandoned", "queued"]
        assert "  4/4      -          5 for 3.2s  17  " in first
        assert "  4/4      2          -           17  " in second
        assert third.split() == ["3", "-", "3", "missing", *"-" * 8]

    def test_how_workers_ended_and_which_go_next(self) -> None:
        killed = DeathStatus("signal 9 (SIGKILL): memory.hard: rss 612M over 600M", 362.0, 17)
        recycled = DeathStatus("recycled: hang", 2.0)
        *_, first, second, third = table(
            replace(QUIET, last_death=killed, recycle="memory.soft: rss 612M over 600M"),
            replace(QUIET, number=2, last_death=recycled),
        )
        assert first == "worker 1 is to be recycled: memory.soft: rss 612M over 600M"
        assert second == "worker 2 ended 2s ago: recycled: hang"
        assert third == "worker 1 ended 6m02s ago: signal 9 (SIGKILL): memory.hard: rss 612M over 600M #17"

    def test_when_a_worker_will_reach_its_limit_and_because_of_whom(self) -> None:
        report = LeakStatus("GET /report", 1.4 * 2**20, 1212, 1e9)
        memory = MemoryStatus(limit=600 << 20, limit_in=10_800.0, grows=1e4, leaks=[report])
        _, row, *others, leak = table(*[replace(QUIET, memory=memory)] * 2)
        assert row.endswith("  112M, 600M in 3h00m")
        assert (len(others), leak) == (1, "worker 1: grown 1.4M a request by GET /report, in 1,212 of them")

    def test_of_many_only_the_latest(self) -> None:
        died = [
            replace(QUIET, number=n, last_death=DeathStatus("exit code 7", float(n))) for n in range(1, 9)
        ]
        assert table(*died)[-2:] == ["worker 5 ended 5s ago: exit code 7", "and 3 more that ended before"]


def test_all_of_it_fits_a_terminal() -> None:
    """Much is wrong with each of eight workers: 80 columns, 24 lines."""
    threads = ThreadsStatus(32, 32, 64, 500, 12.5, 2)
    death = DeathStatus("signal 9 (SIGKILL): memory.hard: rss 612M over 600M", 362.0, 1017)
    text = spell(
        replace(
            SITE,
            health="degraded",
            reasons=[
                "30 of 30 requests answered 503 in the last minute: none of their threads was free in time"
            ],
            workers=[replace(QUIET, number=n, threads=threads, cpu=0.88) for n in range(1, 8)]
            + [replace(QUIET, threads=threads, last_death=death)],
            threads=threads,
            certificate=CertificateStatus("/etc/ssl/shop.pem", 0.0, 9.5),
            minute=replace(MINUTE, refused={"503": 30, "413": 2}),
            totals=TOTALS,
        ),
        width=80,
    )
    assert max(map(len, text.splitlines())) <= 80
    assert len(text.splitlines()) < 24


def test_what_runs_now() -> None:
    running = [
        RunningStatus(2, 3, 940, 1, "GET", "/report\x1b", "c0ffee-1", 4.1),
        RunningStatus(1, 3, 815, 12, "POST", "/pay", "c0ffee-2", 0.2),
    ]
    site = replace(SITE, running=running, threads=ThreadsStatus(3, 4, 8))
    assert spell_running(site).splitlines() == [
        "shop: 3 of 4 threads busy, 2 of them shown",
        "",
        "since  worker  thread  id        request",
        "4.1s   2       1       c0ffee-1  GET /report\\u001b",
        "200ms  1       12      c0ffee-2  POST /pay",
    ]
    assert spell_running(site, width=38).splitlines()[3] == "4.1s   2       1       c0ffee-1  GET …"
    idle = replace(site, running=[], threads=ThreadsStatus(0, 4, 8))
    assert spell_running(idle) == "shop: 0 of 4 threads busy\n"
    lost = replace(idle, threads=ThreadsStatus(0, 4, 8, abandoned=1))
    assert "; 1 abandoned after a 504, in the application still\n" in spell_running(lost)
    assert "earlier version" in spell_running(SITE)


@pytest.mark.parametrize(
    ("args", "seen"),
    [
        (["--watch"], (1, None)),
        (["--watch", "5"], (5, None)),
        (["--watch=5", "shop"], (5, "shop")),
        (["--watch", "shop"], (1, "shop")),
        (["shop", "--watch"], (1, "shop")),
        (["shop"], (None, "shop")),
    ],
)
def test_watch_may_have_a_number_behind_it(args: list[str], seen: tuple[int | None, str | None]) -> None:
    @click.command(cls=Watchable)
    @click.option("--watch", type=int)
    @click.argument("name", required=False)
    def command(watch: int | None, name: str | None) -> tuple[int | None, str | None]:
        return watch, name

    assert command.main(args, standalone_mode=False) == seen


def test_companions_have_a_table_of_their_own():
    beat = CompanionStatus("beat", "crash-loop", restarts=9, why="exit code 1")
    mail = CompanionStatus(
        "mail", "running", 4711, 3, 120.0, 1, 80 << 20, last_end=DeathStatus("exit code 1", 130.0, 17)
    )
    below = spell(replace(SITE, companions=[beat, mail])).partition("\ncompanion")[2].splitlines()
    assert below == [
        "  pid   gen  state       age    restarts  memory",
        "beat       -     -    crash-loop  -      9         -",
        "mail       4711  3    running     2m00s  1         80M",
        "companion beat: exit code 1",
        "companion mail ended 2m10s ago: exit code 1 #17",
    ]
    ill = replace(SITE, companions=[beat], reasons=["companion beat: exit code 1"])
    assert spell(ill).count("companion beat: exit code 1") == 1
    assert "companion" not in spell(SITE)


@pytest.mark.parametrize("kind", JSON)
def test_the_help_names_every_field_of_json(kind):
    said = CliRunner().invoke(main, ["status", "--help"]).output
    assert {field.name for field in fields(kind)} - {"version"} <= set(re.findall(r"\w+", said))
