"""`rollout: {before: ...}`: a command that has to succeed before a generation is loaded."""

import json
import os
import pwd
import re
import signal
import sys

import psutil
import pytest

from tests.e2e.daemon import saying, wait_for

pytestmark = pytest.mark.drill


@pytest.fixture
def site(daemon):
    daemon.write("app.py", saying("one"))
    return daemon


def with_before(site, command, **keys):
    site.site(rollout={"before": command, "confirm": "100ms"}, workers=1, **keys)


def test_it_runs_in_the_release_with_the_sites_environment(site):
    script = (
        "python -c 'import os, sys, json; print(json.dumps([os.getcwd(), sys.prefix, os.environ[\"WHO\"]]))'"
    )
    with_before(site, f"{script} > said", env={"WHO": "me"})
    site.start()
    said = json.loads((site.folder / "said").read_text())
    assert said == [str(site.folder.resolve()), sys.prefix, "me"]
    with_before(site, "echo migrated; exit 0")
    site.reload()
    assert re.search(r"rollout.before done\n +migrated\n", site.log)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_it_runs_as_the_sites_user(site):
    site.folder.chmod(0o777)
    for folder in site.folder.parents[:3]:
        folder.chmod(folder.stat().st_mode | 0o055)
    nobody = pwd.getpwnam("nobody")
    with_before(site, "id -u > who; id -g >> who; id -G >> who; umask >> who", user="nobody", umask="0027")
    site.start()
    uid, gid, groups, umask = (site.folder / "who").read_text().split("\n")[:4]
    assert (int(uid), int(gid), umask) == (nobody.pw_uid, nobody.pw_gid, "0027")
    assert set(map(int, groups.split())) == set(os.getgrouplist("nobody", nobody.pw_gid))


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("echo 2 unapplied migrations; exit 3", "exit code 3"),
        ("echo 2 unapplied migrations; no-such-program", "exit code 127"),
        ("echo 2 unapplied migrations; kill -9 $$", "SIGKILL"),
    ],
)
def test_its_failure_is_a_failed_reload(site, command, how):
    site.site(workers=1)
    site.start()
    site.write("app.py", saying("two"))
    with_before(site, command)
    done = site.command("reload", "--wait", "-c", "site.yaml")
    assert done.returncode == 1
    assert how in done.stderr
    assert "2 unapplied migrations" in done.stderr
    assert "2 unapplied migrations" in site.log
    assert site.get().text == "one"


def test_its_failure_at_the_start(site):
    with_before(site, "echo no database >&2; exit 1")
    site.start(ready=False)
    assert site.wait_exit() == 3
    assert "no database" in site.log


def test_it_has_its_time(site):
    """What it has started ends with it, even if that does not want to."""
    with_before(site, "trap '' TERM; sleep 61 & echo $! > child; wait; wait; wait", timeouts={"boot": "1s"})
    site.start(ready=False)
    assert site.wait_exit() == 3
    assert "did not finish within 1s (timeouts.boot)" in site.log
    wait_for(lambda: is_gone(int((site.folder / "child").read_text())), "end of what it has started")


def is_gone(pid):
    """Whether nothing of a process runs any more; who has inherited it may not have reaped it yet."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def hanging(site):
    """A site whose reload has come to a command that hangs; the process id of that."""
    site.site(workers=1)
    site.start()
    mark = site.mark()
    with_before(site, "exec sleep 62")
    site.send(signal.SIGHUP)
    return int(site.wait_log(r"rollout.before begun .*pid=(\d+)", since=mark)[1])


def test_it_holds_nobody_up(site):
    hanging(site)
    assert site.get().text == "one"
    assert "running rollout.before" in site.command("reload", "-c", "site.yaml").stdout


def test_another_reload_ends_it(site):
    pid = hanging(site)
    site.write("app.py", saying("two"))
    with_before(site, "true")
    site.reload()
    assert site.get().text == "two"
    wait_for(lambda: is_gone(pid), "end of the command")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGQUIT])
def test_a_stop_ends_it(site, number):
    pid = hanging(site)
    assert site.stop(number) == 0
    assert is_gone(pid)


def test_a_folder_that_is_not_there(site):
    site.site(workers=1)
    site.start()
    with_before(site, "true", chdir="nowhere")
    site.reload("reload failed .*rollout.before cannot be run.*nowhere")


def test_check_speaks_of_it_and_does_not_run_it(site):
    with_before(site, "touch ran")
    done = site.command("check", "-c", "site.yaml")
    assert done.returncode == 0
    assert "rollout.before: 'touch ran'" in done.stdout
    assert not (site.folder / "ran").exists()
