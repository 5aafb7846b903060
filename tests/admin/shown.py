"""A site as a Snapshot has it, of any size, with something in every field."""

from msgspec.structs import replace

from superwsgi.board.counts import BOUNDS
from superwsgi.control import Snapshot
from superwsgi.snapshot import (
    CertificateStatus,
    CompanionStatus,
    LeakStatus,
    MemoryStatus,
    PathTotals,
    ThreadsStatus,
    TotalsStatus,
    WorkerStatus,
)

BUCKETS = len(BOUNDS) + 1


def snapshot(workers=2, threads=4, paths=0, **more):
    each = ThreadsStatus(busy=1, total=threads, most=threads, queued=1, oldest=0.5)
    site = Snapshot(
        site="shop",
        program="0.1.0",
        pid=100,
        uptime=60.5,
        phase="running",
        generation=3,
        candidate=None,
        wanted=workers,
        least=1,
        most=6,
        addresses=["http://127.0.0.1:8000"],
        trouble="",
        workers=[worker(number, each) for number in range(1, workers + 1)],
        threads=replace(each, busy=workers, total=workers * threads, most=workers * threads),
        health="degraded",
        reasons=["a worker is missing"],
        serving=workers,
        totals=totals(paths),
        certificate=CertificateStatus("cert.pem", 2e9, 30.0),
        companions=[
            CompanionStatus("mail", "running", 200, 3, 5.0, 2, 1 << 20),
            CompanionStatus("beat", "waiting"),
        ],
        python="3.13.0",
        compiled=True,
    )
    return replace(site, **more)


def worker(number, threads, **more):
    status = WorkerStatus(
        number,
        generation=3,
        state="serving",
        pid=1000 + number,
        in_flight=1,
        connections=5,
        rss=50 << 20,
        pss=30 << 20,
        cpu=0.25,
        sending=2,
        threads=threads,
        memory=MemoryStatus(600 << 20, 90.0, 5.5, [LeakStatus("GET /report", 1.5e6, 212, 1e9)]),
    )
    return replace(status, **more)


def totals(paths=0):
    latency = [1] * BUCKETS
    return TotalsStatus(
        requests=1000,
        answers={"2xx": 900, "3xx": 50, "4xx": 40, "5xx": 10},
        refused={"503": 7, "400": 3},
        accepted=300,
        turned_away=2,
        sent=123456,
        time=50.5,
        app_time=40.25,
        bounds=list(BOUNDS),
        latency=latency,
        app_latency=latency,
        methods={"GET": {"2xx": 800, "3xx": 50, "4xx": 40, "5xx": 10}, "POST": {"2xx": 100}},
        restarts={"SIGKILL": 2, "memory.soft": 1},
        reloads={"complete": 3, "rolled back": 1},
        incidents={"worker died": 2, "slow request": 9},
        cpu=12.5,
        paths=[path(number, latency) for number in range(paths)] if paths else None,
    )


def path(number, latency):
    answers = {"2xx": 10, "5xx": 1}
    return PathTotals(
        method="GET", group=f"/page{number}/*", answers=answers, latency=latency, time=1.5, app_time=1.0
    )
