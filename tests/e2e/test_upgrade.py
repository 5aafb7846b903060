"""USR2: another program takes the master's place, in the same process, and nobody notices."""

import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import superwsgi
from superwsgi.board.scoreboard import VERSION as BOARD
from tests.e2e.daemon import COMMAND, DEADLINE, is_alive, wait_for
from tests.e2e.load import Load

pytestmark = pytest.mark.drill

PACKAGE = Path(superwsgi.__file__).parent

APP = """
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["SERVER_SOFTWARE"].encode()]
"""


class Installation:
    """Versions of superwsgi side by side, and a link to the one that a program finds."""

    def __init__(self, folder):
        self.folder = folder
        self.current = folder / "current"

    def install(self, version, broken=None):
        to = self.folder / version
        # With what is compiled to bytecode: else each process would do that anew.
        shutil.copytree(PACKAGE, to / "superwsgi", ignore=shutil.ignore_patterns("*.so"))
        module = to / "superwsgi" / "__init__.py"
        module.write_text(re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', module.read_text()))
        if broken is not None:
            path, old, new = broken
            file = to / "superwsgi" / path
            assert old in file.read_text()
            file.write_text(file.read_text().replace(old, new))
        self.current.unlink(missing_ok=True)
        self.current.symlink_to(to)


@pytest.fixture
def installation(tmp_path):
    return Installation(tmp_path)


@pytest.fixture
def site(daemon, installation):
    installation.install("1.0")
    daemon.write("app.py", APP)
    daemon.site(workers=2, pidfile="pid")
    daemon.start(env={"PYTHONPATH": str(installation.current)})
    wait_for(lambda: len(daemon.workers()) == 2)
    return daemon


def upgrade(site):
    mark = site.mark()
    site.send(signal.SIGUSR2)
    site.wait_log("reload complete", since=mark)


def software(site):
    return site.get("/").text


def test_the_program_is_replaced_and_nobody_notices(site, installation):
    assert software(site) == "superwsgi/1.0"
    with Load(site.address, clients=4) as load:
        for version in ("1.1", "1.2"):
            installation.install(version)
            upgrade(site)
            assert software(site) == f"superwsgi/{version}"
    assert load.broken == []
    assert int((site.folder / "pid").read_text()) == site.pid
    assert site.stop() == 0
    assert not (site.folder / "pid").exists()


def test_five_upgrades_leak_no_descriptor_and_leave_no_zombie(site):
    master = psutil.Process(site.pid)
    before = settled(site, master)
    with Load(site.address, clients=4) as load:
        for _ in range(5):
            upgrade(site)
    assert load.broken == []
    assert settled(site, master) == before


def settled(site, master):
    """The number of the master's descriptors once it has but one mold and two workers, alive: several times
    the same, as what is open for a moment counts, too."""
    looks = []

    def same_again():
        children = master.children()
        looks.append(master.num_fds() if len(children) == 3 and all(map(is_alive, children)) else None)
        return looks[-1] if {*looks[-5:]} == {looks[-1]} and len(looks) >= 5 else None

    return wait_for(same_again, "one mold and two workers", context=lambda: site.log)


BROKEN = {
    "it does not start": ("cli/main.py", "import click", "import click, no_such_module"),
    "it reads another state": ("master/handover.py", "VERSION: Final = 1", "VERSION: Final = 2"),
    "it has another scoreboard": (
        "board/scoreboard.py",
        f"VERSION: Final = {BOARD}",
        f"VERSION: Final = {BOARD + 1}",
    ),
}
SAID = {
    "it does not start": "ModuleNotFoundError: No module named 'no_such_module'",
    "it reads another state": "the running program's state has version 1, but this one reads 2",
    "it has another scoreboard": f"scoreboard version {BOARD}, but this program reads {BOARD + 1}",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_program_that_cannot_go_on_is_refused(site, installation, how):
    installation.install("1.1", broken=BROKEN[how])
    mark = site.mark()
    with Load(site.address, clients=2) as load:
        site.send(signal.SIGUSR2)
        site.wait_log("upgrade refused", since=mark)
    assert SAID[how] in site.log[mark:]
    assert load.broken == []
    assert software(site) == "superwsgi/1.0"
    installation.install("1.2")
    upgrade(site)
    assert software(site) == "superwsgi/1.2"


HANGS = ("cli/main.py", "import click", "import time; time.sleep(600); import click")


def test_a_program_that_hangs_is_refused(site, installation):
    site.site(workers=2, pidfile="pid", timeouts={"boot": "15s"})
    site.send(signal.SIGHUP)
    site.wait_log("reload complete")
    installation.install("1.1", broken=HANGS)
    site.send(signal.SIGUSR2)
    site.wait_log(r'upgrade refused reason="the new program was not ready after 15s \(timeouts.boot\)"')
    assert software(site) == "superwsgi/1.0"


def test_a_program_that_hangs_does_not_outlive_the_site(site, installation):
    installation.install("1.1", broken=HANGS)
    site.send(signal.SIGUSR2)
    trial = int(site.wait_log(r"upgrade begun .*pid=(\d+)")[1])
    assert site.stop() == 0
    wait_for(lambda: not psutil.pid_exists(trial), "end of the trial")
    assert "upgrade refused" not in site.log


def test_a_configuration_that_is_wrong_by_then_is_refused_too(site):
    site.site(workers="many")
    mark = site.mark()
    site.send(signal.SIGUSR2)
    site.wait_log('upgrade refused reason="[^ ]+: workers: expected', since=mark)
    assert software(site) == "superwsgi/1.0"


def test_a_new_program_whose_workers_do_not_start_serves_with_the_old_ones(site, installation):
    installation.install(
        "1.1", broken=("worker/boot/mold.py", "def main()", "import no_such_module\ndef main()")
    )
    mark = site.mark()
    site.send(signal.SIGUSR2)
    site.wait_log("(reload failed|upgrade refused)", since=mark)
    assert software(site) == "superwsgi/1.0"
    victim = site.workers()[0]
    site.send(signal.SIGKILL, victim)
    wait_for(lambda: len(site.workers()) == 2 and victim not in site.workers())
    assert software(site) == "superwsgi/1.0"


def test_signals_during_an_upgrade_are_not_lost(site):
    for number in (signal.SIGUSR2, signal.SIGHUP, signal.SIGUSR1, signal.SIGTERM):
        site.send(number)
    assert site.wait_exit() == 0


def test_a_worker_that_dies_after_an_upgrade_is_replaced_by_the_new_program(site):
    upgrade(site)
    victim = site.workers()[0]
    site.send(signal.SIGKILL, victim)
    wait_for(lambda: len(site.workers()) == 2 and victim not in site.workers())
    assert site.get("/").status == 200


def test_superwsgi_run_says_that_it_cannot(daemon):
    daemon.write("app.py", APP)
    daemon.write("main.py", "import superwsgi\nfrom app import app\nsuperwsgi.run(app, port=0)\n")
    daemon.spawn([sys.executable, "main.py"])
    daemon.send(signal.SIGUSR2)
    daemon.wait_log("upgrade refused")


def command(site, installation, *arguments):
    """`superwsgi ...` by the program that is installed now."""
    environ = {**site.environ, "PYTHONPATH": str(installation.current)}
    called = [*COMMAND, *arguments, "-c", "site.yaml"]
    return subprocess.run(
        called, cwd=site.folder, env=environ, capture_output=True, text=True, timeout=DEADLINE
    )


def test_the_command_follows_it_into_the_new_program(site, installation):
    installation.install("1.1")
    done = command(site, installation, "upgrade", "--wait")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("trying the new program\n")
    assert "generation 2 serves" in done.stdout
    assert software(site) == "superwsgi/1.1"


def test_the_command_says_why_it_was_refused(site, installation):
    site.site(workers="many")
    mark = site.mark()
    done = command(site, installation, "upgrade", "--wait")
    site.wait_log("upgrade refused", since=mark)
    assert done.returncode == 1
    assert "superwsgi: upgrade refused: " in done.stderr
    assert "workers: expected" in done.stderr


def test_the_command_need_not_wait(site, installation):
    mark = site.mark()
    done = command(site, installation, "upgrade")
    assert (done.returncode, done.stdout) == (0, "trying the new program\n")
    site.wait_log("reload complete", since=mark)
