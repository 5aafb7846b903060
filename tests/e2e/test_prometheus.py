"""prometheus_client's multiprocess mode adds up the same whether workers are forked or import."""

import re
import signal
from pathlib import Path

import pytest

from tests.e2e.daemon import FIXTURE_APPS, wait_for

pytestmark = pytest.mark.drill

pytest.importorskip("prometheus_client")


@pytest.fixture(params=["auto", False])
def site(request, daemon):
    daemon.write("app.py", (FIXTURE_APPS / "e2e_metrics.py").read_text())
    (daemon.folder / "metrics").mkdir()
    daemon.site(workers=2, preload=request.param, env={"PROMETHEUS_MULTIPROC_DIR": "metrics"})
    daemon.start()
    assert "not preloaded" not in daemon.log
    return daemon


def workers(site):
    """All that there ever were: each has imported the application, or is as if it had."""
    return set(re.findall(r"pid=(\d+) serving", site.log))


def count(site, requests):
    """Until both workers have counted, too."""
    answered = 0
    pids = set()
    while answered < requests or len(pids) < 2:
        pids.add(site.get("/count").json()["pid"])
        answered += 1
    return answered


def sums(site):
    return {name: site.get("/").json()[name] for name in ("requests_total", "imports_total", "level")}


def expected(site, requests):
    return {"requests_total": requests, "imports_total": len(workers(site)), "level": 5}


def test_sums_over_a_death_and_a_reload(site):
    counted = count(site, 20)
    assert sums(site) == expected(site, counted)
    site.send(signal.SIGKILL, int(min(workers(site))))
    wait_for(lambda: len(workers(site)) == 3, "a replacement")
    counted += count(site, 10)
    assert sums(site) == expected(site, counted)
    site.reload()
    counted += count(site, 10)
    assert sums(site) == expected(site, counted)


def test_each_worker_has_its_own_files_and_nobody_elses(site):
    count(site, 2)
    files = {path.stem.rpartition("_")[2] for path in (site.folder / "metrics").iterdir()}
    assert files == workers(site)
    for pid in files:
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert set(re.findall(r"metrics/\w+_(\d+)\.db", maps)) == {pid}
        opened = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir() if link.is_symlink()]
        assert {found[1] for name in opened if (found := re.search(r"_(\d+)\.db", name))} == {pid}
