"""The commands that servers are started with, where nobody says how many threads."""

from __future__ import annotations

import json
from pathlib import Path

from superwsgi.config.loading import load
from tests.bench.servers import OURS, PEERS, SERVERS, Job


def job(folder: Path, threads: int | None, queue: str | None = None) -> Job:
    return Job("tests.bench.apps:hello", 8000, folder, threads=threads, queue=queue)


def test_superwsgi_has_its_own_default_then(tmp_path: Path) -> None:
    SERVERS[OURS].command(job(tmp_path, None))
    path = tmp_path / "site.yaml"
    assert load(path, {}).workers == 1
    assert not {"threads", "queue"} & json.loads(path.read_text()).keys()


def test_superwsgi_is_told_what_the_scenario_says(tmp_path: Path) -> None:
    SERVERS[OURS].command(job(tmp_path, 8, "fifo"))
    site = json.loads((tmp_path / "site.yaml").read_text())
    assert (site["threads"], site["queue"]) == (8, "fifo")


def test_peers_have_their_own_default_then_but_gunicorn(tmp_path: Path) -> None:
    default = {name: " ".join(SERVERS[name].command(job(tmp_path, None))) for name in PEERS}
    assert [name for name, command in default.items() if "threads" in command] == ["gunicorn"]
    assert "--threads 64" in default["gunicorn"]
    assert "--blocking-threads 8" in " ".join(SERVERS["granian"].command(job(tmp_path, 8)))
