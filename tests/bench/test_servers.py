"""The commands that servers are started with, where nobody says how many threads."""

from __future__ import annotations

import json
from pathlib import Path

from superwsgi.config.loading import load
from tests.bench.servers import GREEN, OURS, PEERS, REAL, SERVERS, THREADS, Job


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


def advised(name: str, folder: Path, waiting: int, connections: int) -> str:
    """The command for real work, as one line; what superwsgi is told, of its site file."""
    server = SERVERS[name]
    asked = Job(
        "tests.bench.apps:hello", 8000, folder, threads=server.advice(waiting), connections=connections
    )
    command = server.command(asked)
    return (folder / "site.yaml").read_text() if server.package == OURS else " ".join(command)


def test_for_real_work_each_has_what_its_documentation_advises(tmp_path: Path) -> None:
    few = {name: advised(name, tmp_path, 1, 1000) for name in (OURS, *REAL)}
    assert '"threads"' not in few[OURS]
    assert "gthread" in few["gunicorn"]
    assert "--threads 4" in few["gunicorn"]
    assert "gevent" in few["gunicorn-gevent"]
    assert "--threads" not in few["gunicorn-gevent"]
    assert "--blocking-threads 1" in few["granian"]
    assert "--threads 4" in few["waitress"]
    assert "--connection-limit" not in few["waitress"]
    assert "--threads 2" in few["uwsgi"]
    assert "--gevent 100 --gevent-early-monkey-patch" in few["uwsgi-gevent"]


def test_and_as_many_threads_or_greenlets_as_wait(tmp_path: Path) -> None:
    many = {name: advised(name, tmp_path, 1500, 3000) for name in (OURS, *REAL)}
    assert json.loads(many[THREADS])["threads"] == 1500
    assert json.loads(many[GREEN])["green"] == 1500
    assert '"threads"' not in many[OURS]
    assert "--threads 1500" in many["gunicorn"]
    assert "--worker-connections 3000" in many["gunicorn-gevent"]
    assert "--blocking-threads 1500 --backpressure 3000" in many["granian"]
    assert "--threads 1500 --connection-limit 3000 --asyncore-use-poll" in many["waitress"]
    assert "--threads 1500 --listen 1024" in many["uwsgi"]
    assert "--gevent 1500" in many["uwsgi-gevent"]


def test_nothing_is_installed_in_place_of_the_checkout() -> None:
    ours = [name for name, server in SERVERS.items() if server.package == OURS]
    assert all(OURS not in SERVERS[name].installed for name in ours)
    assert SERVERS["gunicorn-gevent"].installed == ("gunicorn", "gevent", "packaging")


def test_files_are_sent_by_who_can_and_by_whitenoise_for_the_others(tmp_path: Path) -> None:
    asked = Job("tests.bench.apps:hello", 8000, tmp_path, files=tmp_path)
    own = [name for name in REAL if "static_app" not in " ".join(SERVERS[name].command(asked))]
    assert own == [THREADS, GREEN, "granian", "uwsgi", "uwsgi-gevent"]
