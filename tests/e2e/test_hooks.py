"""`hooks`: what the application wants done before and after a fork, and at a worker's end."""

import re
import signal

import pytest

from tests.e2e.daemon import wait_for

pytestmark = pytest.mark.drill

APP = """
    import os, sys, time

    def note(what, worker=None):
        pid = os.getpid()
        said = ""
        if worker is not None:
            said = f" {worker.site} {worker.generation} {worker.number} {worker.pid == pid}"
        with open("notes", "a") as file:
            file.write(f"{what} {pid}{said}\\n")

    note("import")

    def before_fork(worker):
        note("before_fork", worker)

    def after_fork(worker):
        note("after_fork", worker)

    def worker_exit():
        note("worker_exit")

    def fail():
        raise ValueError("no database")

    def leave():
        sys.exit(7)

    def hang():
        time.sleep(600)

    def wants_two(server, worker):
        pass

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(os.getpid()).encode()]
"""
ALL = {name: f"app:{name}" for name in ("before_fork", "after_fork", "worker_exit")}

both = pytest.mark.parametrize("preload", [True, False])


@pytest.fixture
def site(daemon):
    daemon.write("app.py", APP)
    return daemon


def notes(site):
    file = site.folder / "notes"
    return [line.split() for line in file.read_text().splitlines()] if file.exists() else []


def test_around_a_fork(site):
    site.site(workers=2, preload=True, hooks=ALL)
    site.start()
    wait_for(lambda: site.log.count(" serving ") == 2, "two workers")
    (mold,) = {pid for what, pid, *_ in notes(site) if what == "import"}
    workers = sorted(map(str, site.workers()))
    before = [note[1:] for note in notes(site) if note[0] == "before_fork"]
    after = sorted(note[1:] for note in notes(site) if note[0] == "after_fork")
    assert before == [[mold, "site", "1", "1", "False"], [mold, "site", "1", "2", "False"]]
    assert [pid for pid, *_ in after] == workers
    assert sorted(said for _, *said in after) == [["site", "1", "1", "True"], ["site", "1", "2", "True"]]
    assert site.stop() == 0
    assert sorted(pid for what, pid, *_ in notes(site) if what == "worker_exit") == workers


def test_where_workers_import_the_application_is_there_when_they_are_called(site):
    site.site(
        workers=1, preload=False, hooks={"after_fork": "app:after_fork", "worker_exit": "app:worker_exit"}
    )
    site.start()
    assert site.stop() == 0
    assert [what for what, *_ in notes(site)] == ["import", "after_fork", "worker_exit"]
    assert len({pid for _, pid, *_ in notes(site)}) == 1


@both
@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("fail", r"hooks.after_fork: ValueError: no database \(.*app.py, line \d+\)"),
        ("leave", "hooks.after_fork: SystemExit: 7"),
        ("after_frok", "hooks.after_fork: app:after_frok: .* has no attribute .*did you mean 'after_fork'"),
        ("wants_two", "hooks.after_fork: app:wants_two should take no argument, or one: the worker"),
        ("note.__name__", "hooks.after_fork: app:note.__name__: it cannot be called: its type is str"),
    ],
)
def test_one_that_fails_keeps_a_generation_from_taking_over(site, name, reason, preload):
    site.site(workers=1, preload=preload)
    site.start()
    before = site.workers()
    site.site(workers=1, preload=preload, hooks={"after_fork": f"app:{name}"})
    site.send(signal.SIGHUP)
    site.wait_log(f"reload failed.*{reason}")
    assert int(site.get().text) in before


def test_one_that_fails_before_the_fork(site):
    site.site(workers=1, hooks={"before_fork": "app:fail"})
    site.start(ready=False)
    assert site.wait_exit() == 3
    assert "hooks.before_fork: ValueError: no database" in site.log
    assert "Traceback" in site.log


@both
def test_one_that_fails_at_the_end_is_only_reported(site, preload):
    site.site(workers=1, preload=preload, hooks={"worker_exit": "app:fail"})
    site.start()
    assert site.stop() == 0
    assert 'hook failed reason="hooks.worker_exit: ValueError: no database' in site.log
    assert "exit code 0" in site.log


@pytest.mark.parametrize("name", ["before_fork", "after_fork"])
def test_one_that_hangs_is_ended_by_timeouts_boot(site, name):
    site.site(workers=1, preload=True, hooks={name: "app:hang"}, timeouts={"boot": "15s"})
    site.start(ready=False)
    assert site.wait_exit() == 3
    assert "timeouts.boot" in site.log
    assert re.search(r"(?s)still booting.*File .*app.py\", line \d+ in hang", site.log), site.log


def test_one_that_hangs_at_the_end_of_a_worker_without_a_master(site):
    site.site(workers=1, hooks={"worker_exit": "app:hang"}, timeouts={"graceful": "2s"})
    site.start()
    (worker,) = site.children()[1:]
    site.send(signal.SIGKILL)
    site.wait_exit()
    wait_for(lambda: not worker.is_running(), "end of the worker")


def test_check_finds_one_that_is_not_there(site):
    site.site(workers=1, hooks={"worker_exit": "app:nowhere"})
    site.start("check", "-c", "site.yaml", ready=False)
    assert site.wait_exit() == 3
    assert "hooks.worker_exit: app:nowhere" in site.log
