"""From one version to the next as an operator does it: two wheels, installed over each other in one virtual
environment, and `superwsgi upgrade`."""

import json
import signal
import subprocess

import pytest

from tests.e2e.builds import DEADLINE, Environment, build
from tests.e2e.daemon import Daemon, wait_for
from tests.e2e.load import Load

pytestmark = pytest.mark.drill

APP = """
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["SERVER_SOFTWARE"].encode()]
"""
OLD, NEW = "1.0", "1.1"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheels")
    return {version: build(version, folder) for version in (OLD, NEW)}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    return Environment(tmp_path_factory.mktemp("environment"))


@pytest.fixture
def site(tmp_path, environment, wheels):
    environment.install(wheels[OLD])
    site = Daemon(tmp_path)
    site.write("app.py", APP)
    site.site(workers=2, pidfile="pid")
    site.spawn([environment.command, "-c", "site.yaml"])
    yield site
    site.clean_up()


def called(site, environment, *arguments):
    """The finished command, of the version that is installed."""
    return subprocess.run(
        [environment.command, *arguments, "-c", "site.yaml"],
        cwd=site.folder,
        env=site.environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
    )


def versions(site, environment):
    """What serves, and what the master says it is."""
    status = json.loads(called(site, environment, "status", "--json").stdout)
    (shown,) = status if isinstance(status, list) else [status]
    return site.get("/").text, shown["program"]


def test_to_the_next_version_and_back(site, environment, wheels):
    assert versions(site, environment) == ("superwsgi/1.0", "1.0")
    with Load(site.address, clients=4) as load:
        for version in (NEW, OLD):
            environment.install(wheels[version])
            done = called(site, environment, "upgrade", "--wait")
            assert (done.returncode, done.stderr) == (0, "")
            assert versions(site, environment) == (f"superwsgi/{version}", version)
    assert load.broken == []
    assert int((site.folder / "pid").read_text()) == site.pid
    assert site.stop() == 0


def test_what_runs_goes_on_when_another_version_is_installed(site, environment, wheels):
    """Workers that die meanwhile are forked from the old mold, and the new command reaches the old master."""
    environment.install(wheels[NEW])
    victim = site.wait_workers(2)[0]
    site.send(signal.SIGKILL, victim)
    wait_for(lambda: len(site.workers()) == 2 and victim not in site.workers())
    assert versions(site, environment) == ("superwsgi/1.0", "1.0")
    assert called(site, environment, "stop", "--wait").returncode == 0
    assert site.wait_exit() == 0
