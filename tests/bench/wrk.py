"""The load generator: wrk, one thread, as many connections as asked, a closed loop without think time.

Latencies are those of the requests that completed; a connection that is never served does not show. One that
took longer than twice the usual is counted as if its client had gone on asking meanwhile (`stats_correct` in
wrk's source), so that a p99 weighs stalls by their length.
"""

from __future__ import annotations

import json
import math
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

from tests.bench.process import BenchError, pinned

_REPORT = Path(__file__).with_name("report.lua")


@dataclass(frozen=True)
class Figures:
    """What wrk saw; `errors` are failed or broken exchanges and answers of 400 and above, `requests` are all
    other answers."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def rate(self) -> float:
        return self.requests / self.seconds


class Wrk:
    """A run of wrk in the background, from `core`; `upload`: bytes that each request brings. Leave the `with`
    block only after `figures`."""

    def __init__(
        self,
        port: int,
        seconds: int,
        connections: int,
        core: int,
        close: bool = False,
        tls: bool = False,
        path: str = "/",
        upload: int = 0,
    ) -> None:
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}", "-s", str(_REPORT)]
        if close:
            command += ["-H", "Connection: close"]
        command += [f"http{'s' * tls}://127.0.0.1:{port}{path}", "--", str(upload)]
        self._process = subprocess.Popen(
            pinned({core}, command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def __enter__(self) -> Wrk:
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:  # closes the pipe and waits
            self._process.kill()

    def stop(self) -> None:
        """End before its time; the figures are those so far."""
        self._process.send_signal(signal.SIGINT)

    def figures(self, may_starve: bool = False) -> Figures:
        """Wait for the end. Raises BenchError where no request was answered, unless that is a finding: then
        its latencies are infinite."""
        output = self._process.communicate()[0]
        lines = [line for line in output.splitlines() if line.startswith("{")]
        if not lines:
            raise BenchError(f"wrk failed: {output.strip()}")
        figures = Figures(**json.loads(lines[-1]))
        if figures.requests:
            return figures
        if not may_starve:
            raise BenchError("no request was answered")
        return replace(figures, p50_ms=math.inf, p99_ms=math.inf)


def run(
    port: int,
    seconds: int,
    connections: int,
    core: int,
    close: bool = False,
    tls: bool = False,
    path: str = "/",
    upload: int = 0,
) -> Figures:
    """Load for whole `seconds`, and what came of it."""
    with Wrk(port, seconds, connections, core, close, tls, path, upload) as load:
        return load.figures()
