"""Requests under load: six kinds of work, the same figures of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tests.bench import wrk
from tests.bench.bench import Bench, Column, Pace, Sample, Scenario
from tests.bench.environment import FILE
from tests.bench.process import Tree, free_port, others_cpu_seconds
from tests.bench.servers import Job, Pair, Server
from tests.bench.wrk import Figures


@dataclass(frozen=True)
class Work:
    title: str
    app: str
    threads: int | None = 8
    connections: int = 32
    close: bool = False
    path: str = "/"
    files: bool = False


WORK = {
    "hello": Work("Hello world", "tests.bench.apps:hello"),
    "flask": Work("Flask hello", "tests.bench.flask_app:app"),
    "body": Work("100 KB body", "tests.bench.apps:body"),
    "sleep": Work("App that sleeps 10 ms", "tests.bench.apps:sleep", threads=64, connections=64),
    "static": Work("10 KB file", "tests.bench.apps:hello", path=f"/static/{FILE}", files=True),
    "connect": Work("New connection per request", "tests.bench.apps:hello", close=True),
}

COLUMNS = {
    "cpu_us": Column("CPU per request (us)"),
    "rate": Column("requests/s", ",.0f"),
    "p50_ms": Column("p50 (ms)", ",.2f"),
    "p99_ms": Column("p99 (ms)", ",.2f"),
    "pss_mb": Column("memory, PSS (MB)"),
    "errors": Column("errors", ",.0f"),
}


def measure(
    work: Work, server: Server, bench: Bench, access_log: Path | None = None, tls: Pair | None = None
) -> Sample:
    """`others_percent` is in no column: the report says how busy the machine was with other things."""
    job = Job(
        work.app,
        free_port(),
        bench.folder,
        threads=work.threads,
        close=work.close,
        access_log=access_log,
        tls=tls,
        connections=max(1000, 2 * work.connections),
        **(served(bench) if work.files else {}),
    )
    load = partial(
        wrk.run,
        job.port,
        connections=work.connections,
        core=bench.cores.load,
        close=work.close,
        tls=tls is not None,
        path=work.path,
    )
    with bench.serving(server, job) as tree:
        return under_load(tree, load, bench.pace)


def under_load(tree: Tree, load: Callable[..., Figures], pace: Pace, *helpers: Tree) -> Sample:
    """What `load`, which takes whole `seconds`, has made of a server; `helpers`: what else the bench runs."""
    if pace.warm_up:
        load(seconds=pace.warm_up)
    return sampled(tree, partial(load, seconds=pace.load), *helpers)


def sampled(tree: Tree, load: Callable[[], Figures], *helpers: Tree) -> Sample:
    before, others = tree.cpu_seconds(), others_cpu_seconds(tree, *helpers)
    figures = load()
    cpu, others = tree.cpu_seconds() - before, others_cpu_seconds(tree, *helpers) - others
    return {
        "cpu_us": cpu / figures.requests * 1e6,
        "rate": figures.rate,
        "p50_ms": figures.p50_ms,
        "p99_ms": figures.p99_ms,
        "pss_mb": tree.pss() / 1e6,
        "errors": figures.errors,
        "others_percent": max(others, 0.0) / figures.seconds * 100,
    }


def served(bench: Bench) -> dict[str, Any]:
    """Of a job: the folder of files, and its name for applications that send them."""
    files = bench.environment.files
    return {"files": files, "env": {"BENCH_FILES": str(files)}}


def title(work: Work) -> str:
    threads = f"{work.threads:,} threads" if work.threads else "threads by default"
    load = f"{work.connections:,} {'clients' if work.close else 'keep-alive connections'}"
    return f"{work.title}: 1 worker, {threads}, {load}"


def fits(work: Work, server: Server) -> bool:
    return server.wsgi or work.files


SCENARIOS = {
    name: Scenario(title(work), COLUMNS, partial(measure, work), partial(fits, work))
    for name, work in WORK.items()
}
