"""A run: every scenario, its servers alternating A B C A B C …, and what fails left out and reported."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import psutil

from tests.bench import machine
from tests.bench.bench import Bench, Pace, Sample
from tests.bench.environment import Environment
from tests.bench.process import BenchError, Cores
from tests.bench.real.postgres import Postgres
from tests.bench.results import Results
from tests.bench.scenarios import SCENARIOS
from tests.bench.servers import BEFORE, OURS, SERVERS

Names = tuple[str, ...]

TOOLS = {"wrk": "wrk", "taskset": "util-linux"}
"""Program → the Debian package it comes from."""


def run(
    pace: Pace,
    scenarios: Names,
    servers: Names,
    environment: Environment,
    before: Environment | None = None,
) -> Results:
    """Measure. Progress goes to stderr. Raises BenchError where a tool is missing."""
    for tool, package in TOOLS.items():
        if not shutil.which(tool):
            raise BenchError(f"{tool} is missing: apt-get install {package}")
    cores = Cores.choose()
    failures = _prepare(servers, environment, before)
    ready = [server for server in servers if server not in failures]
    results = Results(machine.describe(cores, environment, ready))
    for server, reason in failures.items():
        _leave_out(results, f"{server} could not be installed: {reason}")
    with (
        tempfile.TemporaryDirectory(prefix="superwsgi-bench-") as folder,
        Postgres(cores.load) as postgres,
    ):
        bench = Bench(environment, before, cores, pace, Path(folder), postgres)
        for scenario in scenarios:
            _run_scenario(scenario, ready, bench, results)
    return results


def _prepare(servers: Names, environment: Environment, before: Environment | None) -> dict[str, str]:
    """Why a server could not be installed, by its name. Raises BenchError where that is ours."""
    _say(f"environment: {environment.folder}")
    failures = environment.prepare(tuple(name for name in servers if name != BEFORE))
    if OURS in failures:
        raise BenchError(f"{OURS} could not be installed: {failures[OURS]}")
    if before and (failed := before.prepare((OURS,))):
        failures[BEFORE] = ", ".join(failed.values())
    return failures


def _run_scenario(name: str, servers: list[str], bench: Bench, results: Results) -> None:
    """A server that fails is left out of the later rounds."""
    scenario = SCENARIOS[name]
    try:
        scenario.prepare(bench)
    except BenchError as error:
        _leave_out(results, f"{name}: {error}")
        return
    able = [server for server in servers if scenario.fits(SERVERS[server])]
    for number in range(1, bench.pace.rounds + 1):
        for server in list(able):
            try:
                sample = scenario.measure(SERVERS[server], bench)
            except (BenchError, OSError, psutil.Error) as error:
                able.remove(server)
                _leave_out(results, f"{server} in {name}: {error}")
            else:
                results.add(name, server, sample)
                _say(f"{name} {number}/{bench.pace.rounds} {server}: {_short(sample)}")


def _leave_out(results: Results, failure: str) -> None:
    results.failures.append(failure)
    _say(failure)


def _short(sample: Sample) -> str:
    return " ".join(f"{figure}={value:.4g}" for figure, value in sample.items())


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
