"""`companions:` programs of the release that run beside the workers: as whom and where, what becomes of one
that dies, and what reloads, upgrades and stops do to them."""

import contextlib
import json
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import psutil
import pytest

from tests.e2e.daemon import FIXTURE_APPS, is_alive, saying, wait_for, whole_lines
from tests.e2e.users import people

pytestmark = pytest.mark.drill

PROGRAM = f"python {FIXTURE_APPS / 'e2e_companion.py'}"


class Crew:
    """A site with companions, and what they have said."""

    def __init__(self, daemon):
        self.daemon = daemon
        daemon.write("app.py", saying("one"))

    def site(self, companions, **keys):
        keys = {"rollout": {"confirm": "100ms"}, "workers": 1, **keys}
        self.daemon.site(companions=companions, **keys)

    def start(self, companions, **keys):
        self.site(companions, **keys)
        self.daemon.start()
        return self

    def said(self, name="mail-1"):
        file = self.daemon.folder / f"{name}.said"
        return [json.loads(line) for line in whole_lines(file.read_text())] if file.exists() else []

    def begun(self, count=1, name="mail-1"):
        """What the last one has said, once so many have begun."""

        def last():
            found = [each for each in self.said(name) if each["what"] == "begins"]
            return found[-1] if len(found) >= count else None

        return wait_for(last, f"{count} beginnings of {name}", context=lambda: self.daemon.log)

    def status(self):
        return json.loads(self.daemon.command("status", "--json", "-c", "site.yaml").stdout)

    def shown(self, name="mail"):
        return next(each for each in self.status()["companions"] if each["name"] == name)

    def why(self):
        return self.daemon.command("why", "-c", "site.yaml").stdout

    def never_two(self):
        files = self.daemon.folder.glob("*.said")
        return not any("two at once" in file.read_text() for file in files)


def test_check_knows_what_is_not_there(crew):
    (crew.daemon.folder / "plain.sh").write_text("#!/bin/sh\n")
    crew.site({"mail": PROGRAM, "news": "no-such-program", "beat": "./beat.sh", "plain": "./plain.sh"})
    done = crew.daemon.command("check", "-c", "site.yaml")
    assert done.returncode == 0
    assert "warning: companion news: 'no-such-program' is not found in PATH (" in done.stderr
    assert (
        "warning: companion beat: ./beat.sh: No such file or directory; the site would serve" in done.stderr
    )
    assert "warning: companion plain: ./plain.sh: Permission denied, it is no file that may be" in done.stderr
    assert "mail" not in done.stderr


@pytest.fixture
def crew(daemon):
    return Crew(daemon)


def test_a_companion_is_of_the_site(crew):
    crew.start({"mail": PROGRAM}, env={"WHO": "me"})
    mail = crew.begun()
    folder = str(crew.daemon.folder.resolve())
    assert (mail["folder"], mail["who"], mail["path"]) == (folder, "me", str(Path(sys.executable).parent))
    assert mail["session"] == mail["pid"]
    assert mail["files"]["0"] == os.devnull
    assert mail["files"]["1"] == mail["files"]["2"] == str(crew.daemon.log_file.resolve())
    crew.daemon.wait_log("mail-1 is here")
    assert crew.daemon.log.index(" serving ") < crew.daemon.log.index("companion started")
    shown = crew.shown()
    assert (shown["state"], shown["pid"], shown["restarts"]) == ("running", mail["pid"], 0)
    assert shown["rss"] > 1 << 20
    assert crew.daemon.stop() == 0
    assert [each["what"] for each in crew.said()] == ["begins", "ends"]
    assert crew.daemon.log.index("worker=1 gen=1") < crew.daemon.log.index("companion told to end")


def test_one_that_dies_is_replaced_and_an_incident(crew):
    crew.start({"mail": PROGRAM})
    for number in range(1, 4):
        os.kill(crew.begun(number)["pid"], signal.SIGKILL)
    assert crew.begun(4)["pid"] == crew.shown()["pid"]
    assert crew.shown()["restarts"] == 3
    assert "companion mail died: signal 9 (SIGKILL): not by the master" in crew.why()
    assert "started again as pid" in crew.why()
    assert crew.never_two()


def test_commands(crew):
    crew.start({"mail": {"command": PROGRAM, "count": 2}})
    first = crew.begun(), crew.begun(name="mail-2")
    done = crew.daemon.command("recycle", "-c", "site.yaml", "mail", "--wait")
    assert done.returncode == 0, done.stderr
    assert (
        f"companion mail:1 (pid {first[0]['pid']}) recycled; pid {crew.begun(2)['pid']} runs" in done.stdout
    )
    second = crew.begun(2, name="mail-2")
    done = crew.daemon.command("kill", "-c", "site.yaml", "mail:2", "--wait")
    assert f"companion mail:2 (pid {second['pid']}) killed; pid" in done.stdout
    assert crew.shown("mail:2")["restarts"] == 0
    assert "companion mail:2 killed: asked for by uid" in crew.why()
    refused = crew.daemon.command("kill", "-c", "site.yaml", "news")
    assert "no worker news; there are: 1, also by process id; companions: mail" in refused.stderr
    crew.site({})
    crew.daemon.reload()
    wait_for(lambda: not crew.status()["companions"], "end of both")
    assert [each["what"] for each in crew.said()] == ["begins", "ends"] * 2
    assert crew.never_two()


def test_reloads(crew):
    """A new one after a confirmed one, none after one that fails; what the site file has no more goes."""
    crew.start({"mail": PROGRAM, "beat": PROGRAM})
    first, beat = crew.begun(), crew.begun(name="beat-1")
    crew.daemon.write("app.py", "syntax error")
    crew.daemon.reload("reload failed")
    assert crew.shown()["pid"] == first["pid"]
    crew.daemon.write("app.py", saying("two"))
    crew.site({"mail": {"command": PROGRAM, "count": 2}, "news": PROGRAM})
    crew.daemon.reload()
    assert crew.begun(2)["pid"] != first["pid"]
    assert crew.begun(name="mail-2")["pid"] != crew.begun(name="news-1")["pid"]
    wait_for(lambda: not psutil.pid_exists(beat["pid"]), "end of beat", context=lambda: crew.daemon.log)
    names = {each["name"] for each in crew.status()["companions"]}
    assert names == {"mail:1", "mail:2", "news"}
    assert crew.never_two()


def test_an_upgrade_keeps_it_until_the_new_generation_is_confirmed(crew):
    crew.start({"mail": PROGRAM}, log={"capture": True})
    crew.begun()
    mark = crew.daemon.mark()
    crew.daemon.send(signal.SIGUSR2)
    crew.daemon.wait_log("program replaced", since=mark)
    crew.daemon.wait_log("(?s)reload complete.*companion ended", since=mark)
    crew.begun(2)
    crew.daemon.wait_log("companion=mail application stream=pipe text=.mail-1 is here", since=mark)
    assert [each["what"] for each in crew.said()] == ["begins", "ends", "begins"]
    assert crew.never_two()


def test_one_that_does_not_end_is_killed_with_all_that_it_has_started(crew):
    crew.start(
        {
            "mail": {"command": f"{PROGRAM} stubborn", "graceful": "100ms"},
            "news": {"command": f"{PROGRAM} child", "graceful": "100ms"},
        }
    )
    crew.begun()
    wait_for(lambda: len(crew.said("news-1")) == 2, "both of news")
    processes = [psutil.Process(each["pid"]) for each in (*crew.said(), *crew.said("news-1"))]
    assert crew.daemon.stop() == 0
    assert not any(map(is_alive, processes))
    assert "not ended 100ms after SIGTERM (graceful of companion mail)" in crew.daemon.log


def test_one_that_cannot_run_keeps_nobody_from_serving(crew):
    crew.start({"mail": "no-such-program --worker", "news": f"{PROGRAM} daemon", "once": "true"})
    crew.daemon.wait_log("companion=once .*started again in 200ms")
    crew.daemon.wait_log("companion=news .*started again in 200ms")
    assert crew.daemon.get().text == "one"
    status = crew.status()
    assert status["health"] == "degraded"
    reasons = "\n".join(status["reasons"])
    assert "companion mail: 'no-such-program' is not found in PATH" in reasons
    assert re.search("companion=mail companion not started .*path=.*/bin", crew.daemon.log)
    assert "companion once: exit code 0: it has ended by itself" in reasons
    assert "companion news: exit code 0: it has put itself into the background" in reasons
    assert "not started" in crew.why()
    crew.site({"mail": PROGRAM})
    crew.daemon.reload()
    crew.begun()
    wait_for(lambda: crew.status()["health"] == "healthy", "health", context=lambda: crew.daemon.log)
    assert crew.never_two()


def test_one_that_a_signal_has_stopped_is_replaced(crew):
    crew.start({"mail": PROGRAM})
    os.kill(crew.begun()["pid"], signal.SIGSTOP)
    crew.begun(2)
    assert "companion mail killed: stopped by a signal for" in crew.why()
    assert crew.shown()["restarts"] == 1


def test_limits_of_memory(crew):
    crew.start(
        {
            "mail": {"command": f"{PROGRAM} 100", "memory": {"soft": "50M"}},
            "news": {"command": f"{PROGRAM} 100", "memory": {"hard": "50M"}},
        }
    )
    crew.begun(2)
    crew.begun(2, name="news-1")
    assert "ends" in [each["what"] for each in crew.said()]
    assert "ends" not in [each["what"] for each in crew.said("news-1")]
    why = crew.why()
    assert re.search(r"companion mail to be exchanged: memory\.soft: rss \d+M over 50M", why)
    assert re.search(r"companion news killed: memory\.hard: rss \d+M over 50M", why)


def test_it_ends_with_the_master(crew):
    crew.start({"mail": PROGRAM})
    mail = psutil.Process(crew.begun()["pid"])
    crew.daemon.send(signal.SIGKILL)
    wait_for(lambda: not is_alive(mail), "end of it")
    assert crew.said()[-1]["what"] == "ends"


def test_the_next_master_waits_for_what_the_killed_one_has_left(crew):
    """It has had its signal, and takes no notice."""
    crew.start({"mail": {"command": f"{PROGRAM} stubborn", "graceful": "1s"}})
    mail = psutil.Process(crew.begun()["pid"])
    crew.daemon.send(signal.SIGKILL)
    crew.daemon.wait_exit()
    crew.daemon.start()
    assert crew.begun(2)["pid"] != mail.pid
    assert not is_alive(mail)
    assert crew.never_two()
    assert re.search(
        rf"companion not started yet reason=.pid {mail.pid} of a master that is gone", crew.daemon.log
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_it_is_the_sites_user(crew):
    folder = crew.daemon.folder
    folder.chmod(0o777)
    for each in list(folder.parents)[:-2]:
        each.chmod(each.stat().st_mode | 0o055)
    crew.start({"mail": "sh -c 'id -u > who; umask >> who; exec sleep 61'"}, user="nobody", umask="0027")
    wait_for(lambda: len((folder / "who").read_text().split()) == 2 if (folder / "who").exists() else 0)
    assert (folder / "who").read_text().split() == ["65534", "0027"]
    sleeper = psutil.Process(crew.shown()["pid"])
    crew.daemon.send(signal.SIGKILL)
    wait_for(lambda: not is_alive(sleeper), "end of it")


@pytest.mark.skipif(os.geteuid() != 0, reason="a program that becomes root has to be made by root")
def test_what_it_leaves_as_another_user_holds_up_no_stop():
    """As with sudo."""
    with people() as make:
        user = make(session=True)
        site = user.site("shop", companions={"mail": {"command": "./mail.sh", "graceful": "100ms"}})
        other = shutil.copy(shutil.which("setpriv"), site.folder / "other")
        Path(other).chmod(0o4755)
        script = "#!/bin/sh\n./other --reuid=0 sleep 600 &\nwhile :; do sleep 1; done\n"
        site.write("mail.sh", script).chmod(0o755)
        site.start()
        (sleep,) = wait_for(lambda: of_root_below(site.pid), "program of root")
        try:
            assert site.stop() == 0
            assert 'out of reach reason="what it has started runs as another user' in site.log
            assert f'next="left alone: end pid {sleep.pid}"' in site.log
            assert sleep.is_running()
        finally:
            sleep.kill()


def of_root_below(pid):
    """Programs called sleep that root runs."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if process.name() == "sleep" and process.uids().real == 0:
                found.append(process)
    return found
