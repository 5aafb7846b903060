"""How `superwsgi status` spells a site. Real ones: tests/e2e/test_control.py, test_out_of_threads.py."""

from msgspec.structs import replace

from superwsgi.cli.server.status import spell
from superwsgi.control import DeathStatus, Snapshot, ThreadsStatus, WorkerStatus

QUIET = WorkerStatus(1, 3, "serving", 1234567, 7500.0, 61422, 0, 1, 17, 112 << 20)
SITE = Snapshot(
    site="shop",
    program="0.1.0",
    pid=812,
    uptime=7500.0,
    phase="ready",
    generation=3,
    candidate=None,
    wanted=2,
    addresses=["http://127.0.0.1:8000"],
    trouble="",
    workers=[QUIET],
)


def lines(threads: ThreadsStatus, *workers: WorkerStatus) -> list[str]:
    return spell(replace(SITE, threads=threads, workers=list(workers))).splitlines()


def test_threads_that_are_free() -> None:
    threads = ThreadsStatus(3, 4, 32)
    _, _, total, _, columns, row = lines(threads, replace(QUIET, threads=threads))
    assert total == "threads: 3 of 4 busy, up to 32"
    assert columns == "worker  pid      gen  state    age    requests  threads    connections  memory"
    assert row == "1       1234567  3    serving  2h05m  61422     3/4 of 32  17           112M"


def test_a_table_fits_a_terminal_of_80_columns() -> None:
    assert all(len(line) <= 80 for line in lines(ThreadsStatus(), QUIET)[1:])


def test_requests_that_wait_and_a_worker_that_died() -> None:
    full, rest = ThreadsStatus(4, 4, 4, 5, 3.2), ThreadsStatus(4, 4, 4)
    death = DeathStatus("exit code 7", 2.0)
    _, _, total, _, columns, first, second, third = lines(
        ThreadsStatus(8, 8, 8, 5, 3.2),
        replace(QUIET, threads=full),
        replace(QUIET, threads=rest, last_death=death),
        WorkerStatus(3, 3, "missing"),
    )
    assert total == "threads: 8 of 8 busy, queued: 5 for 3.2s"
    assert columns.split("  ")[-1] == "last death"
    assert "  4/4      5 for 3.2s  17  " in first
    assert "  4/4      -           17  " in second
    assert second.endswith("2s ago: exit code 7")
    assert third.split() == ["3", "-", "3", "missing", *"-" * 7]


def test_a_wait_of_unknown_length() -> None:
    assert "threads: 4 of 4 busy, queued: 5" in lines(ThreadsStatus(4, 4, 4, 5), QUIET)


def test_an_older_master_does_not_say() -> None:
    _, _, blank, columns, row = lines(ThreadsStatus(), QUIET)
    assert (blank, columns.split()[6], row.split()[6]) == ("", "threads", "-")
