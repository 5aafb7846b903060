"""The event streams of the bench, a few of them: what is counted, and what is sent."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import streams
from tests.bench.process import free_port, serving
from tests.bench.scenarios.streams import BARE, FLASK
from tests.bench.servers import REPOSITORY
from tests.bench.streams import Stream, Streams

CORE = min(os.sched_getaffinity(0))
COMMAND = [sys.executable, "-m", "superwsgi", "-c"]


def test_an_event_may_come_in_pieces_and_is_counted_once() -> None:
    stream = Stream()
    for piece in (b"HTTP/1.1 200 OK\r\n\r\n13\r\ndata: 0 1", b"7\n", b"\n\r\ndata: 1 18\n\ndata: 2 1"):
        stream.data_received(piece)
    assert (len(stream.delays), stream.wrong, stream.next) == (2, 0, 2)


def test_an_event_that_was_left_out_is_an_error_as_is_a_stream_that_ends() -> None:
    skipping, ending = Stream(), Stream()
    skipping.data_received(b"data: 0 1\n\ndata: 2 1\n\n")
    ending.data_received(b"data: 0 1\n\n")
    ending.connection_lost(None)
    figures = streams.figures([skipping, ending], 2.0)
    assert (figures["requests"], figures["errors"]) == (3, 2)


@pytest.mark.parametrize(("app", "path"), [(BARE, "/ticks"), (BARE, "/told"), (FLASK, "/ticks")])
def test_all_events_come(app: str, path: str, tmp_path: Path) -> None:
    port, site = free_port(), tmp_path / "site.yaml"
    keys = {"app": app, "bind": f"127.0.0.1:{port}", "chdir": str(REPOSITORY), "workers": 1, "threads": 6}
    site.write_text(json.dumps(keys))
    environ = {**os.environ, "RUNTIME_DIRECTORY": str(tmp_path)}
    with (
        serving([*COMMAND, str(site)], {CORE}, port, environ, tmp_path / "log"),
        Streams(port, path, 3, 2.5, CORE) as load,
    ):
        figures = load.figures()
    assert 3 <= figures.requests <= 12
    assert figures.errors == 0


def test_streams_that_nobody_serves_are_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.streams", str(free_port()), "/", "2", "1", "0.2"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert "Connect call failed" in done.stdout
