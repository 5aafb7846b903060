"""`metrics.app: on` is all that an application's own metrics need: they agree with what was requested,
whatever becomes of the processes that have counted, and nothing is left of them."""

import json
import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.e2e.daemon import DEADLINE, FIXTURE_APPS, read_all, saying, wait_for

pytest.importorskip("prometheus_client")

from prometheus_client.parser import text_string_to_metric_families

from superwsgi.admin.metrics.application import AppMetrics

pytestmark = pytest.mark.drill

APP = (FIXTURE_APPS / "e2e_app_metrics.py").read_text()
NOTE = 'open("folder", "w").write(os.environ["PROMETHEUS_MULTIPROC_DIR"])'
ON = {"admin": {"bind": "unix:admin.sock"}, "metrics": {"app": True}}


@pytest.fixture(params=["auto", False])
def site(request, daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=2, preload=request.param, rollout={"confirm": "100ms"}, **ON)
    daemon.start()
    return daemon


def folder(site):
    return Path(site.get("/").json()["folder"])


def status(site):
    return json.loads(site.command("status", "--json", "-c", "site.yaml").stdout)


def seen(site, where):
    """Sums over all processes, of those by worker how many there are."""
    living = frozenset(worker["pid"] for worker in status(site)["workers"] if worker["pid"])
    collected = AppMetrics(str(where.parent)).collect(living)
    assert not any(collected.left_out.values())
    values = {}
    for family in collected.families:
        for sample in family.samples:
            name = (sample.name, *(value for key, value in sorted(sample.labels.items()) if key != "pid"))
            values[name] = values.get(name, 0) + sample.value
    return values


def count(site, requests):
    for _ in range(requests):
        site.get("/count")
    return requests


def kill_one(site):
    """And wait for the worker that takes its place."""
    mark = site.mark()
    site.send(signal.SIGKILL, site.workers()[0])
    site.wait_log(r"worker=\d+ .*serving", since=mark)


def agrees(site, where, counted):
    values = seen(site, where)
    assert values["shop_pages_total", "count"] == counted
    assert values["shop_seconds_count",] == counted
    assert values["shop_seconds_bucket", "1.0"] == counted
    assert values["shop_workers",] == 2
    return values


def files(where):
    return {path.name.rpartition("_")[2] for path in where.glob("*.db")}


def test_sums_over_kills_a_reload_and_an_upgrade(site):
    where = folder(site)
    counted = count(site, 20)
    imports = agrees(site, where, counted)["shop_imports_total",]
    assert imports == 2
    for _ in range(4):
        kill_one(site)
        counted += count(site, 5)
        imports += 1
        assert agrees(site, where, counted)["shop_imports_total",] == imports
    site.reload()
    counted += count(site, 5)
    assert agrees(site, where, counted)["shop_imports_total",] == imports + 2
    mark = site.mark()
    site.send(signal.SIGUSR2)
    site.wait_log("program replaced", since=mark)
    site.wait_log("reload complete", since=mark)
    counted += count(site, 5)
    assert folder(site) == where
    assert agrees(site, where, counted)["shop_imports_total",] == imports + 4


def test_the_folder_does_not_grow_with_the_number_of_workers(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=2, requests={"max": 10}, **ON)
    daemon.start()
    where = folder(daemon)
    counted = [count(daemon, 100)]

    def has_folded():
        """Workers are replaced while there are requests."""
        counted.append(count(daemon, 10))
        return "folded.db" in files(where)

    wait_for(has_folded, "the files of the first workers that are gone in one")
    wait_for(lambda: seen(daemon, where)["shop_pages_total", "count"] == sum(counted), "all requests")
    assert len(files(where) - {f"{pid}.db" for pid in daemon.workers()} - {"folded.db"}) <= 4


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_nothing_is_left_at_the_end(site, number):
    where = folder(site)
    count(site, 5)
    assert where.exists()
    site.stop(number)
    assert not where.parent.exists()


def test_after_a_killed_master_the_next_start_removes_what_it_has_left(site):
    where = folder(site)
    count(site, 5)
    old = site.workers()
    site.send(signal.SIGKILL)
    site.wait_exit()
    assert where.parent.exists()
    site.log_file.unlink()
    site.start()
    assert folder(site) != where
    assert count(site, 5) == seen(site, folder(site))["shop_pages_total", "count"]
    wait_for(lambda: not where.parent.exists(), f"end of what {old} have left")


def test_an_application_that_does_not_start_leaves_nothing(daemon):
    daemon.write("app.py", f"import os\n{APP}\n{NOTE}\n1 / 0")
    daemon.site(**ON)
    daemon.start(ready=False)
    daemon.wait_exit()
    assert not Path((daemon.folder / "folder").read_text()).parent.exists()


def test_what_a_mold_counts_is_not_counted_twice(daemon):
    """Neither while it imports nor when it is killed."""
    daemon.write("app.py", f"{APP}\nimport os, time\nwhile os.path.exists('wait'): time.sleep(0.01)")
    daemon.site(workers=1, **ON)
    daemon.start()
    (daemon.folder / "wait").touch()
    daemon.send(signal.SIGHUP)
    where = folder(daemon)
    mark = wait_for(lambda: next(where.glob("importing_*"), None), "a mold that imports")
    pid = mark.name.removeprefix("importing_")
    wait_for(lambda: f"{pid}.db" in files(where), "its files")
    assert seen(daemon, where)["shop_imports_total",] == 1
    daemon.send(signal.SIGKILL, int(pid))
    daemon.wait_log("reload failed")
    (daemon.folder / "wait").unlink()
    daemon.reload()
    assert seen(daemon, where)["shop_imports_total",] == 2
    assert not mark.exists()


def test_rollout_before_counts_nothing(daemon):
    daemon.write("app.py", APP)
    daemon.site(rollout={"before": "python app.py && env > environ", "confirm": "100ms"}, **ON)
    daemon.start()
    assert "PROMETHEUS_MULTIPROC_DIR" not in (daemon.folder / "environ").read_text()


def test_a_folder_of_the_sites_own_stays_its_own(daemon):
    daemon.write("app.py", APP)
    (daemon.folder / "own").mkdir()
    daemon.site(env={"PROMETHEUS_MULTIPROC_DIR": "own"}, **ON)
    daemon.start()
    assert folder(daemon) == Path("own")
    daemon.wait_log("no application metrics reason=.PROMETHEUS_MULTIPROC_DIR is set already")


def test_an_application_without_metrics_is_told_so(daemon):
    daemon.write("app.py", saying("hello"))
    daemon.site(**ON)
    daemon.start()
    daemon.wait_log("no application metrics reason=.the application has not imported prometheus_client")


@pytest.mark.parametrize("own", [True, False])
@pytest.mark.parametrize("fails", ["", "\n1 / 0"])
def test_check_leaves_no_files(daemon, own, fails):
    daemon.write("app.py", f"import os\n{APP}\n{NOTE}{fails}")
    (daemon.folder / "own").mkdir()
    daemon.site(**({"env": {"PROMETHEUS_MULTIPROC_DIR": "own"}} if own else ON))
    assert daemon.command("check", "-c", "site.yaml").returncode == (3 if fails else 0)
    used = daemon.folder / (daemon.folder / "folder").read_text()
    assert used.exists() == own
    assert list((daemon.folder / "own").iterdir()) == []


def test_another_user_reads_them_whatever_the_umask(daemon):
    if os.geteuid() != 0:
        pytest.skip("needs root, which alone runs the admin process as another user")
    daemon.write("app.py", APP)
    daemon.site(umask="0077", **ON)
    daemon.start()
    where = folder(daemon)
    count(daemon, 3)
    code = "import sys; print(sum(len(open(path, 'rb').read()) > 0 for path in sys.argv[1:]))"
    paths = [str(path) for path in where.glob("*.db")]
    as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    command = [*as_nobody, "/usr/bin/python3", "-c", code, *paths]
    read = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (read.stdout.strip(), read.stderr) == (str(len(paths)), "")


def scrape(site):
    """What Prometheus would get, by name and labels."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(DEADLINE)
        client.connect(str(site.folder / "admin.sock"))
        client.sendall(b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n")
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 "), head
    families = text_string_to_metric_families(body.decode())
    return {
        (sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def test_a_scrape_has_both_and_counters_never_go_back(site):
    counted, before = 0, {}

    def looked():
        """A scrape, if the workers have counted all by now: they do when the client has its answer."""
        nonlocal before
        seen = scrape(site)
        counters = {name: value for name, value in seen.items() if name[0].endswith(("_total", "_count"))}
        assert {name: value for name, value in before.items() if counters.get(name, -1) < value} == {}
        before = counters
        assert seen["shop_pages_total", "page=count"] == counted
        assert seen["shop_workers",] == 2
        return seen["superwsgi_requests_total", "method=GET", "status=2xx"] == counted

    for change in (kill_one, lambda site: site.reload(), lambda site: None):
        counted += count(site, 10)
        wait_for(looked, "all requests in a scrape")
        change(site)
    restarts = {name: value for name, value in before.items() if name[0] == "superwsgi_worker_restarts_total"}
    assert sum(restarts.values()) == 1
