"""What a scenario needs to measure a server: where programs are, which cores, how long, a scratch folder."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.environment import Environment
from tests.bench.process import Cores, Tree, serving
from tests.bench.real.postgres import Postgres
from tests.bench.servers import Job, Server

Sample = dict[str, float]
"""What one server did in one round of a scenario, by the column it goes into."""


@dataclass(frozen=True)
class Pace:
    """How often, and how long in seconds. wrk takes whole seconds; no warm-up is 0."""

    rounds: int
    warm_up: int
    load: int
    idle: float
    between_reloads: float


FULL = Pace(rounds=3, warm_up=1, load=3, idle=10, between_reloads=1.5)
QUICK = Pace(rounds=1, warm_up=0, load=1, idle=2, between_reloads=0.3)


@dataclass(frozen=True)
class Bench:
    """`before`: the environment of the checkout that this one is compared with."""

    environment: Environment
    before: Environment | None
    cores: Cores
    pace: Pace
    folder: Path
    postgres: Postgres
    _runs: itertools.count[int] = field(default_factory=itertools.count)

    def serving(self, server: Server, job: Job, *, everywhere: bool = False) -> AbstractContextManager[Tree]:
        """`server` running `job` on its core, or `everywhere`, stopped at the end of the `with` block. Raises
        BenchError."""
        environment = self.before if server.earlier and self.before else self.environment
        return serving(
            server.command(job),
            cores={self.cores.server, self.cores.load} if everywhere else {self.cores.server},
            port=job.port,
            env=environment.variables() | job.env,
            log=self.new_file("output"),
            tls=job.tls is not None,
        )

    def new_file(self, name: str) -> Path:
        return self.folder / f"{next(self._runs)}-{name}"


@dataclass(frozen=True)
class Column:
    """One figure of a sample: its heading with unit, and how it is written."""

    heading: str
    format: str = ",.1f"


@dataclass(frozen=True)
class Scenario:
    """One kind of work and its table. `measure` raises BenchError where the server cannot do it, `prepare`
    where none can."""

    title: str
    columns: dict[str, Column]
    measure: Callable[[Server, Bench], Sample]
    fits: Callable[[Server], bool] = lambda server: server.wsgi
    prepare: Callable[[Bench], object] = lambda bench: None
