"""`superwsgi check` from outside: what one mistake hides of another when a site is started, it tells."""

import json
import os
import re
import shutil
import socket
import subprocess
import textwrap

import pytest

from tests.e2e.daemon import COMMAND, saying

pytestmark = pytest.mark.drill


@pytest.fixture
def site(daemon):
    daemon.write("app.py", saying("hello"))
    return daemon


def test_what_is_wrong_with_the_file_hides_nothing(site):
    site.write("app.py", "def app(environ, start_response): raise KeyError('db')\n")
    site.write(
        "site.yaml",
        """\
        app: app:app
        threads: many
        user: no-such-user
        group: no-such-group
        warmup: [/one, /two]
        hooks: {worker_exit: "app:gone", after_fork: "gone:hook"}
        memory: {hard: 1M}
        """,
    )
    checked = site.command("check", "-c", "site.yaml")
    found = [line for line in checked.stderr.splitlines() if line.startswith("site.yaml:")]
    for line, begins in zip(
        found,
        [
            "site.yaml:2:10: threads: expected",
            "site.yaml:3:7: user 'no-such-user' does not exist",
            "site.yaml:4:8: group 'no-such-group' does not exist",
            "site.yaml:5:10: warmup: /one KeyError: 'db' (",
            "site.yaml:5:16: warmup: /two KeyError: 'db' (",
            "site.yaml:6:22: hooks.worker_exit: app:gone: module 'app' has no attribute 'gone'",
            "site.yaml:6:46: hooks.after_fork: gone:hook: no module named 'gone'",
            "site.yaml:7:16: memory.hard: 1M is less than",
        ],
        strict=True,
    ):
        assert line.startswith(begins), checked.stderr
    assert (checked.returncode, checked.stdout) == (2, "")


def test_hooks_of_an_application_that_does_not_load(site):
    """One page of two that fails is worth a warning: a start goes on."""
    site.write("app.py", "import gone\n")
    site.site("usr: www\nhooks: {after_fork: 'lost:hook'}\n")
    checked = site.command("check", "-c", "site.yaml")
    assert checked.returncode == 2
    assert (
        "the application does not load: app:app: importing app failed: ModuleNotFoundError" in checked.stderr
    )
    assert "this may follow from what is wrong with usr" in checked.stderr
    assert "hooks.after_fork: lost:hook: no module named 'lost'" in checked.stderr
    site.write("site.yaml", "apps:\n  /: app:app\n  /two: gone:app\nhooks: {after_fork: 'lost:hook'}\n")
    checked = site.command("check", "-c", "site.yaml")
    assert checked.returncode == 3
    assert "site.yaml:2:3: the application does not load: app:app: importing app failed" in checked.stderr
    assert "site.yaml:3:3: the application does not load: gone:app: no module named 'gone'" in checked.stderr
    assert "site.yaml:4:21: hooks.after_fork: lost:hook" in checked.stderr
    site.write(
        "app.py",
        """
        def app(environ, start_response):
            1 / len(environ["PATH_INFO"][1:])
            start_response("200 OK", [])
            return []
        """,
    )
    site.site(warmup=["/", "/fine"])
    checked = site.command("check", "-c", "site.yaml")
    assert checked.returncode == 0
    assert "warning: warmup: / ZeroDivisionError: division by zero (" in checked.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("app: [\nuser: no-such-user\n", "nothing else was looked at: it cannot be read any further"),
        ("app: 'no app'\nuser: no-such-user\n", "the application was not tried: what `app` says is wrong"),
        ("app: app:app\nchdir: none\n", "the application was not tried: "),
    ],
)
def test_what_could_not_be_looked_at_is_told(site, text, says):
    site.write("site.yaml", text)
    checked = site.command("check", "-c", "site.yaml")
    assert checked.returncode == 2
    assert says in checked.stderr
    as_json = site.command("check", "-c", "site.yaml", "--json")
    assert (as_json.returncode, as_json.stderr) == (2, "")
    assert len(json.loads(as_json.stdout)["problems"]) == checked.stderr.count("site.yaml:") - 1
    assert ("no-such-user' does not exist" in checked.stderr) == ("'no app'" in text)


def test_a_site_that_runs_is_in_nobodys_way(site):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    keys = {"bind": f"127.0.0.1:{port}", "pidfile": "site.pid", "workers": 1}
    site.site("health: {live: /livez, bind: 'unix:health.sock'}\n", **keys)
    site.start()
    checked = site.command("check", "-c", "site.yaml")
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"it runs already (pid {site.pid})" in checked.stdout
    site.write("other.yaml", f"app: app:app\nname: other\nbind: 127.0.0.1:{port}\npidfile: site.pid\n")
    checked = site.command("check", "-c", "other.yaml")
    assert checked.returncode == 2
    assert f"other.yaml:3:7: bind: 127.0.0.1:{port} is in use by superwsgi: " in checked.stderr
    assert f"other.yaml:4:10: pidfile: {site.folder}/site.pid is held by process {site.pid}" in checked.stderr
    assert site.get().text == "hello"
    assert site.stop() == 0


def test_what_would_run(site):
    site.write("app.py", "import os\nPIPE = os.pipe()\n" + textwrap.dedent(saying("hello")))
    site.site("user: no-such-user\nmemory: {soft: 4G}\n", workers=2, threads=3)
    checked = site.command("check", "-c", "site.yaml", "--explain", "--json")
    assert (checked.returncode, checked.stderr) == (2, "")
    said = json.loads(checked.stdout)
    assert (said["site"], said["starts"]) == ("site", False)
    (problem,) = said["problems"]
    assert problem["message"] == "user 'no-such-user' does not exist on this machine"
    facts = {
        f"{title} {each['name']}": each for title, section in said["explained"].items() for each in section
    }
    assert facts["processes workers"]["value"] == {"min": 2, "max": 2}
    assert facts["processes workers"]["source"].startswith("site.yaml:")
    assert facts["application preload"]["value"]["shared"] is False
    assert "app.py:2" in facts["application preload"]["text"]
    assert 0 < facts["memory application"]["value"]["private"] <= facts["memory application"]["value"]["rss"]
    assert facts["memory memory.soft"]["value"] == 4 << 30
    shown = site.command("check", "-c", "site.yaml", "--explain").stdout
    assert max(map(len, shown.splitlines())) <= 80
    for title in ("application", "processes", "memory", "sockets", "clients", "users", "logs"):
        assert f"\n{title}\n" in shown


def test_what_run_would_serve(site):
    checked = site.command("check", "app:app", "--user", "no-such-user", "--bind", "unix:no/x.sock")
    assert (checked.returncode, checked.stdout) == (2, "")
    assert "--user: user 'no-such-user' does not exist on this machine" in checked.stderr
    assert f"--bind: {site.folder}/no/x.sock: the folder {site.folder}/no does not exist" in checked.stderr
    checked = site.command(
        "check", "--explain", "--workers", "3", "--set", "limits.backlog=7", "--bind", "unix:x.sock"
    )
    assert (checked.returncode, checked.stderr) == (0, "superwsgi: app.py defines app\n")
    assert re.search(r"workers +3 +--workers\n", checked.stdout)
    assert re.search(r"backlog +7 connections wait until they are accepted +--set", checked.stdout)


def test_what_run_serves_already(site):
    """Known by its name and where it was started; one of the same name elsewhere is another site."""
    site.spawn([*COMMAND, "run", "app:app", "--name", "shop", "--bind", "127.0.0.1:0"], ready=True)
    words = ["check", "app:app", "--name", "shop", "--bind", "{}:{}".format(*site.address)]
    checked = site.command(*words)
    assert (checked.returncode, checked.stderr) == (0, "")
    assert f"it runs already (pid {site.pid})" in checked.stdout
    (site.folder / "copy").mkdir()
    elsewhere = [*COMMAND, *words, "--chdir", ".."]
    checked = subprocess.run(
        elsewhere, cwd=site.folder / "copy", env=site.environ, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 2
    assert re.search(r"is in use by superwsgi: \S.*\[shop\] \(pid \d+\): end that", checked.stderr)


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="needs root and setpriv")
def test_a_port_that_needs_a_right(site):
    site.site(bind="127.0.0.1:81")
    without = ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"]
    command = [*without, *COMMAND, "check", "-c", "site.yaml"]
    done = subprocess.run(command, cwd=site.folder, env=site.environ, capture_output=True, text=True)
    assert done.returncode == 2
    assert "bind: 127.0.0.1:81: ports below 1024 need root or CAP_NET_BIND_SERVICE: " in done.stderr
