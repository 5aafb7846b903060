"""Deploys that switch a link: each generation serves one release, whole, and HUP the one that is current."""

import signal
import socket
import subprocess

import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.load import Load
from tests.e2e.releases import Releases
from tests.e2e.wire import Wire

pytestmark = pytest.mark.drill

WAYS = {
    "a module": ["venv/bin/python", "-m", "superwsgi", "-c", "site.yaml"],
    "a script": ["venv/bin/superwsgi", "-c", "./site.yaml"],
    "no $PWD": ["env", "-u", "PWD", "{current}/venv/bin/superwsgi", "-c", "site.yaml"],
    "no site file": ["venv/bin/superwsgi", "run", "app:app", "-w", "1", "-b", "127.0.0.1:0"],
}


@pytest.fixture
def releases(daemon):
    return Releases(daemon)


def of(release, paths):
    """Whether all of them lie in that release."""
    return len(paths) >= 5 and all(path == str(release) or path.startswith(f"{release}/") for path in paths)


@pytest.mark.parametrize("way", WAYS)
def test_a_switched_link_and_hup(releases, way):
    releases.make("1")
    releases.make("2")
    releases.switch("1")
    releases.start(*WAYS[way])
    site = releases.daemon
    assert of(releases.path("1"), releases.where())
    with Load(site.address, clients=2) as load:
        releases.switch("2")
        site.reload("gen=1 .* ended")
        assert load.bodies_from_now() == {b"2"}
    assert load.broken == []
    assert of(releases.path("2"), releases.where())


@pytest.mark.parametrize("preload", [True, False], ids=["preload", "import per worker"])
def test_a_generation_stays_with_its_release(releases, preload):
    """What it imports late, and workers that are forked later, after another mold was lost, too."""
    releases.make("1", preload=preload, workers=2)
    releases.make("2", preload=preload, workers=2)
    releases.switch("1")
    site = releases.daemon
    releases.start(*WAYS["a module"])
    releases.switch("2")
    assert site.get("/late").text == "late 1"
    before = site.workers()
    mold = next(child.pid for child in site.children() if child.pid not in before)
    mark = site.mark()
    site.send(signal.SIGKILL, mold)
    site.wait_log("mold ready", since=mark)
    for worker in before:
        site.send(signal.SIGKILL, worker)
    wait_for(lambda: len(site.workers()) == 2 and not set(site.workers()) & set(before), "new workers")
    assert {site.get("/late").text for _ in range(8)} == {"late 1"}
    assert of(releases.path("1"), releases.where())


def test_the_old_release_may_go(releases):
    """The master keeps what was spelled, also over an upgrade, when its working folder is no more."""
    for name in "123":
        releases.make(name, pidfile="pid")
    releases.switch("1")
    site = releases.daemon
    releases.start(*WAYS["a script"])
    releases.switch("2")
    site.reload()
    releases.remove("1")
    releases.switch("3")
    assert site.command("upgrade", "--wait", "-c", releases.current / "site.yaml").returncode == 0, site.log
    assert of(releases.path("3"), releases.where())
    releases.make("4", pidfile="pid")
    releases.switch("4")
    releases.remove("2")
    releases.remove("3")
    site.reload()
    assert of(releases.path("4"), releases.where())
    assert site.stop() == 0


def test_what_leads_through_the_link_besides(releases):
    """`chdir`, PYTHONPATH and a line of a .pth file; site file and superwsgi are elsewhere."""
    for name in "12":
        releases.make(name)
        (packages,) = releases.path(name).glob("venv/lib/python*/site-packages")
        (packages / "own.pth").write_text(f"{releases.current}/lib\n")
        for folder, module in (("lib", "from_pth"), ("vendor", "from_env")):
            releases.daemon.write(f"releases/{name}/{folder}/{module}.py", f"NAME = '{module} {name}'\n")
        app = """
            def app(environ, start_response):
                import from_env, from_pth
                start_response("200 OK", [("Content-Type", "text/plain")])
                return [f"{from_env.NAME} {from_pth.NAME}".encode()]
        """
        releases.daemon.write(f"releases/{name}/src/app.py", app)
    releases.switch("1")
    env = {"PYTHONPATH": f"{releases.current}/vendor"}
    site = releases.daemon
    site.site(chdir=f"{releases.current}/src", env=env)
    site.spawn([str(releases.path("1") / "venv/bin/superwsgi"), "-c", "site.yaml"])
    releases.switch("2")
    assert site.get().text == "from_env 1 from_pth 1"
    site.reload()
    assert site.get().text == "from_env 2 from_pth 2"


def test_sockets_and_logs_stay_where_they_were_spelled(releases):
    """In a folder that all releases share, and in one that each has for itself."""
    (releases.folder / "shared").mkdir()
    bind, log = ["unix:shared/sock", "unix:own.sock", "127.0.0.1:0"], {"access": "access.log"}
    for name in "12":
        releases.make(name, bind=bind, log=log)
        (releases.path(name) / "shared").symlink_to("../../shared")
    releases.switch("1")
    releases.start(*WAYS["a module"])
    site = releases.daemon
    releases.switch("2")
    site.reload()
    for path in ("shared/sock", "own.sock"):
        assert unix_get(releases.current / path).endswith("2")
    wait_for(lambda: (releases.path("2") / "access.log").exists())
    assert f"unix:{releases.current}/own.sock" in site.log


def unix_get(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(str(path))
        with Wire(sock) as wire:
            return wire.ask().body.decode()


def test_commands_in_a_folder_that_was_current_once(releases):
    """A shell that is there still says `current`, and its `site.yaml` may be another one by now, or gone."""
    for name in "12":
        releases.make(name)
    releases.switch("1")
    releases.start(*WAYS["a module"])
    releases.switch("2")
    releases.daemon.reload()
    status = [releases.path("2") / "venv/bin/superwsgi", "status", "-c", "site.yaml"]
    for removed in (False, True):
        before = f"rm -r {releases.path('1')}; " if removed else ""
        shell = ["sh", "-c", f'cd {releases.path("1")}; {before}exec env PWD={releases.current} "$@"', "sh"]
        done = subprocess.run(
            [*shell, *status], env=releases.daemon.environ, capture_output=True, text=True, timeout=60
        )
        assert "generation 2" in done.stdout, done


def test_a_module_that_is_missing_since_the_release_is(releases):
    """It says where it was looked for, and the worker goes on."""
    releases.make("1", preload=False)
    releases.switch("1")
    releases.start(*WAYS["a module"])
    site = releases.daemon
    (worker,) = site.workers()
    mark = site.mark()
    releases.remove("1")
    site.send(signal.SIGKILL, worker)
    site.wait_log("No such file|has been removed", since=mark)
