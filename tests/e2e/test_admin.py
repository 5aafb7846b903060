"""The admin process of a real site: what it answers, whom it refuses, and that its end hurts nobody."""

import contextlib
import itertools
import os
import pwd
import re
import signal
import socket
import threading
from pathlib import Path
from urllib.parse import quote

import pytest

from superwsgi.system import lineage
from tests.e2e.admin import ADMIN, TOKEN, act, admin_process, ask, next_event, port, stream
from tests.e2e.daemon import COMMAND, DEADLINE, saying, wait_for

SECRET = "a-secret-of-the-application"


@pytest.fixture
def site(daemon):
    """Started by `start(**admin)`."""

    def start(**admin):
        daemon.write("app.py", saying("hello"))
        daemon.site(workers=1, admin={**ADMIN, **admin}, env={"SECRET": SECRET})
        daemon.start()
        daemon.wait_log("admin ready")
        return daemon

    return start


def first_sample(daemon):
    """Once there is one."""
    return wait_for(lambda: ask(daemon, "/api/history").json()["samples"], "a sample")[0]


def test_off_by_default(daemon):
    daemon.write("app.py", saying("hello"))
    daemon.site(workers=1)
    daemon.start()
    titles = [" ".join(child.cmdline()) for child in daemon.children()]
    assert not [title for title in titles if "admin" in title]
    assert "admin" not in daemon.command("status").stdout


class TestAnswers:
    def test_what_the_site_does(self, site):
        daemon = site()
        for _ in range(3):
            daemon.get("/?card=4711")

        def counted():  # a little later than clients have their answers
            said = ask(daemon, "/api/status").json()
            return said if said["totals"]["requests"] == 3 else None

        said = wait_for(counted, "all requests in the status")
        assert said["admin"] == {
            "pid": admin_process(daemon).pid,
            "addresses": [f"http://127.0.0.1:{port(daemon)}"],
        }
        assert re.search(
            rf"admin: http://127.0.0.1:\d+, pid {said['admin']['pid']}", daemon.command("status").stdout
        )
        page = ask(daemon, "/")
        assert page.headers["content-type"].startswith("text/html")
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        assert (page.headers["cache-control"], page.headers["x-content-type-options"]) == (
            "no-store",
            "nosniff",
        )
        assert ask(daemon, "/api/incidents?most=3").json()["incidents"] == []
        assert ask(daemon, "/nothing").status == 404
        for odd in ("most=many", "most=-1", "most=²", "since=nan", "&".join(["most=1"] * 99)):
            statuses = {
                ask(daemon, f"/api/{page}?{quote(odd, safe='=&')}").status
                for page in ("incidents", "history")
            }
            assert 400 in statuses <= {200, 400}, odd

    def test_events_each_second(self, site):
        daemon = site()
        with stream(daemon) as response:
            assert response.getheader("Content-Type") == "text/event-stream"
            assert next_event(response)["totals"]["requests"] == 0
            daemon.get()
            wait_for(
                lambda: next_event(response)["totals"]["requests"] == 1, "an event that shows the request"
            )

    def test_acting(self, site):
        daemon = site()
        stacks = act(daemon, "/api/stacks", {"of": "1"})
        assert stacks.json()["processes"][0]["number"] == 1
        done = act(daemon, "/api/reload", {})
        assert (done.status, done.json()["outcome"]) == (200, "complete")
        assert ask(daemon, "/api/status").json()["generation"] == 2
        assert act(daemon, "/api/stacks", {"off": "1"}).status == 400
        assert act(daemon, "/api/stacks", []).status == 400
        assert act(daemon, "/api/status", {}).status == 405

    def test_acting_on_workers(self, site):
        daemon = site()
        (worker,) = daemon.workers()
        assert act(daemon, "/api/recycle", {"worker": "1"}).json()["outcome"] == "complete"

        def marks():
            return {mark["kind"] for mark in ask(daemon, "/api/history").json()["marks"]}

        # between two looks at the site, only the last end of a worker has a mark
        wait_for(lambda: "recycle" in marks(), "mark of the recycling", context=marks)
        assert act(daemon, "/api/kill", {"worker": "1"}).json()["outcome"] == "complete"
        assert act(daemon, "/api/workers", {"difference": 1}).json()["outcome"] == "complete"
        assert len(daemon.workers()) == 2
        assert worker not in daemon.workers()
        assert act(daemon, "/api/workers", {"number": 1}).json()["outcome"] == "complete"
        for path, what in (
            ("/api/kill", {}),
            ("/api/kill", {"worker": 1}),
            ("/api/workers", {}),
            ("/api/workers", {"number": 2, "difference": 1}),
            ("/api/workers", {"number": 0}),
            ("/api/recycle", {"number": 1}),
        ):
            assert act(daemon, path, what).status == 400, (path, what)
        assert act(daemon, "/api/kill", {"worker": "77"}).status == 409
        wait_for(lambda: "incident" in marks(), "mark of the kill", context=marks)

    def test_the_configuration(self, site):
        daemon = site()
        said = ask(daemon, "/api/config")
        keys = {key["key"]: key["value"] for key in said.json()["keys"]}
        assert keys["workers"] == "1"
        assert TOKEN not in said.text
        assert SECRET not in said.text

    def test_who_is_refused(self, site):
        """A page of another origin, DNS rebinding, and whoever has no token."""
        daemon = site()
        at = port(daemon)
        assert ask(daemon, "/api/status", headers={"Host": f"evil.example.com:{at}"}).status == 403
        assert act(daemon, "/api/reload", {}, Origin="http://evil.example.com").status == 403
        assert act(daemon, "/api/reload", {}, Authorization="Bearer 0123456789abcdeX").status == 401
        assert act(daemon, "/api/reload", {}, **{"Content-Type": "text/plain"}).status == 415
        assert act(daemon, "/api/reload", {"x": "x" * 5000}).status == 413
        assert act(daemon, "/api/reload", {}, Origin=f"http://127.0.0.1:{at}").status == 200
        assert daemon.log.count("reload begun") == 1

    def test_query_strings_are_not_shown(self, daemon):
        daemon.write(
            "app.py",
            """
            import os, time

            def app(environ, start_response):
                while not os.path.exists("go-on"):
                    time.sleep(0.01)
                start_response("200 OK", [])
                return []
            """,
        )
        daemon.site(workers=1, admin=ADMIN)
        daemon.start()
        asking = threading.Thread(target=daemon.get, args=["/pay?card=4711"])
        asking.start()
        running = wait_for(lambda: ask(daemon, "/api/status").json()["running"], "a request that runs")
        daemon.write("go-on", "")
        asking.join()
        assert running[0]["target"] == "/pay"

    @pytest.mark.skipif(os.geteuid() != 0, reason="nobody but root can look into it")
    def test_nothing_of_the_site_is_in_it(self, site):
        daemon = site()
        process = admin_process(daemon)
        assert SECRET not in str(process.environ())
        assert TOKEN not in str(process.environ()) + str(process.cmdline())
        assert process.cwd() == "/"
        assert str(daemon.folder) not in Path(f"/proc/{process.pid}/maps").read_text()
        for path in ("/", "/api/status", "/api/history", "/api/incidents"):
            said = ask(daemon, path).text
            assert SECRET not in said
            assert TOKEN not in said
        assert TOKEN not in daemon.log

    @pytest.mark.skipif(os.geteuid() != 0, reason="nobody but root can look into it")
    def test_no_file_that_the_master_was_started_with_is_open_in_it(self, daemon):
        daemon.write("app.py", saying("hello"))
        daemon.write("precious", "")
        daemon.site(workers=1, admin=ADMIN)
        with (daemon.folder / "precious").open() as file:
            daemon.spawn([*COMMAND, "-c", "site.yaml"], pass_fds=[file.fileno()])
        daemon.wait_log("admin ready")
        opened = []
        for each in Path(f"/proc/{admin_process(daemon).pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):  # it has just been closed
                opened.append(each.readlink())
        assert daemon.folder / "precious" not in opened

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
    def test_it_has_no_right_of_root(self, site):
        process = admin_process(site())
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert {*process.uids()} == {pwd.getpwnam("nobody").pw_uid}
        assert re.search(r"CapEff:\t0+\n", status)
        assert re.search(r"NoNewPrivs:\t1", status)
        assert lineage.mark_of(process.pid) == lineage.Mark(
            process.pid, process.pid
        )  # its copies end with it


@pytest.mark.drill
class TestItsEnd:
    def test_killed_ten_times(self, site):
        """The site is not touched, nothing that it counts is lost, and the history is kept."""
        daemon = site()
        answered, going = [], threading.Event()

        def load():
            while not going.is_set():
                answered.append(daemon.get().status)

        loading = threading.Thread(target=load)
        loading.start()
        begun = first_sample(daemon)
        for _ in range(10):
            process = admin_process(daemon)
            process.kill()
            wait_for(lambda process=process: admin_process(daemon).pid != process.pid, "another one")
            assert ask(daemon, "/api/status").status == 200  # it waits in the socket
        going.set()
        loading.join()
        assert {*answered} == {200}
        wait_for(
            lambda: ask(daemon, "/api/status").json()["totals"]["requests"] == len(answered),
            "all requests in the status",
        )
        wait_for(
            lambda: abs(_counted(daemon) - len(answered)) < 5 + len(answered) / 20,
            "samples that add up to what was answered, but for rounding",
            context=lambda: f"{_counted(daemon)} of {len(answered)}",
        )
        assert ask(daemon, "/api/history").json()["samples"][0] == begun
        assert daemon.command("why").stdout.count("admin died")
        assert daemon.log.count("admin died") == 10
        assert len(daemon.workers()) == 1
        assert daemon.command("status").returncode == 0
        assert daemon.stop() == 0

    def test_stopped_by_a_signal_it_is_replaced(self, site):
        daemon = site()
        process = admin_process(daemon)
        process.suspend()
        assert daemon.get().text == "hello"
        daemon.wait_log('admin died how="killed: it hangs', deadline=60)
        assert admin_process(daemon).pid != process.pid
        assert ask(daemon, "/api/status").status == 200

    def test_it_ends_with_the_site(self, site):
        """After the workers: a page sees the stop."""
        daemon = site()
        process = admin_process(daemon)
        with stream(daemon) as response:
            assert next_event(response)["phase"] == "running"
            daemon.send(signal.SIGTERM)
            while next_event(response) is not None:
                pass
        assert daemon.wait_exit() == 0
        assert not process.is_running()
        assert "admin died" not in daemon.log

    def test_it_ends_with_a_master_that_is_killed(self, site):
        daemon = site()
        process = admin_process(daemon)
        daemon.workers()
        daemon.send(signal.SIGKILL)
        wait_for(lambda: not process.is_running(), "its end")

    def test_an_upgrade_keeps_the_history(self, site):
        daemon = site()
        process, begun = admin_process(daemon), first_sample(daemon)
        daemon.send(signal.SIGUSR2)
        daemon.wait_log("program replaced")
        daemon.wait_log("reload complete")
        assert admin_process(daemon).pid != process.pid
        history = ask(daemon, "/api/history").json()
        assert history["samples"][0] == begun
        assert ask(daemon, "/api/status").json()["admin"]["pid"] == admin_process(daemon).pid
        assert daemon.log.count("admin ready") == 2
        assert "admin died" not in daemon.log
        assert daemon.stop() == 0


def _counted(daemon):
    """How many requests the samples add up to."""
    samples = ask(daemon, "/api/history").json()["samples"]
    spans = itertools.pairwise(samples)
    return round(sum(rate * (t - before) for (before, *_), (t, rate, *_) in spans))


@pytest.mark.drill
class TestReload:
    def test_another_address_and_another_token(self, site):
        daemon = site()
        at, mark = port(daemon), daemon.mark()
        daemon.site(workers=1, admin={"bind": ["127.0.0.1:0", "127.0.0.2:0"], "token": TOKEN[::-1]})
        daemon.reload()
        daemon.wait_log("admin ready", mark)
        assert port(daemon) == at
        assert act(daemon, "/api/stacks", {}).status == 401
        assert act(daemon, "/api/stacks", {}, Authorization=f"Bearer {TOKEN[::-1]}").status == 200
        assert "admin died" not in daemon.log

    def test_off_and_on_again(self, site):
        daemon = site()
        process = admin_process(daemon)
        daemon.site(workers=1)
        daemon.reload()
        wait_for(lambda: not process.is_running(), "its end")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port(daemon)))
        mark = daemon.mark()
        daemon.site(workers=1, admin=ADMIN)
        daemon.reload()
        daemon.wait_log("admin ready", mark)
        assert ask(daemon, "/api/status", at=port(daemon, mark)).status == 200

    def test_one_that_changes_nothing_leaves_it_alone(self, site):
        daemon = site()
        process = admin_process(daemon)
        daemon.reload()
        assert admin_process(daemon).pid == process.pid

    def test_an_address_that_is_taken_refuses_the_reload(self, site):
        daemon = site()
        with socket.create_server(("127.0.0.1", 0)) as taken:
            where = f"127.0.0.1:{taken.getsockname()[1]}"
            daemon.site(workers=1, admin={"bind": where})
            daemon.reload("reload refused")
        assert ask(daemon, "/api/status").status == 200
        assert act(daemon, "/api/stacks", {}).status == 200

    def test_an_address_that_is_taken_at_the_start(self, daemon):
        daemon.write("app.py", saying("hello"))
        with socket.create_server(("127.0.0.1", 0)) as taken:
            daemon.site(workers=1, admin={"bind": f"127.0.0.1:{taken.getsockname()[1]}"})
            daemon.start(ready=False)
            assert daemon.wait_exit() == 4
        assert "another program listens there" in daemon.log


def test_a_socket_with_a_mode(daemon):
    daemon.write("app.py", saying("hello"))
    path = daemon.folder / "admin.sock"
    daemon.site(workers=1, admin={"bind": {"unix": "admin.sock", "mode": "0660"}, "token": TOKEN})
    daemon.start()
    daemon.wait_log("admin ready")
    assert path.stat().st_mode & 0o777 == 0o660
    assert path.stat().st_uid == os.geteuid()
    assert _answers_at(path)
    path.unlink()
    daemon.wait_log("admin socket lost.*bound again")
    wait_for(lambda: path.exists() and _answers_at(path), "another socket")
    assert daemon.stop() == 0
    assert not path.exists()


def _answers_at(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(DEADLINE)
        sock.connect(str(path))
        sock.sendall(b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return sock.recv(12) == b"HTTP/1.1 200"


@pytest.mark.drill
def test_fifty_streams(site):
    """Twenty are open, the others are told so, and others are answered all the same."""
    daemon = site()
    with contextlib.ExitStack() as stack:
        responses = [stack.enter_context(stream(daemon)) for _ in range(50)]
        statuses = [response.status for response in responses]
        assert statuses == [200] * 20 + [503] * 30
        assert ask(daemon, "/api/status").status == 200
        assert next_event(responses[19])["site"] == "site"
    wait_for(lambda: _opens(daemon), "room for another one")


def _opens(daemon):
    with stream(daemon) as response:
        return response.status == 200


@pytest.mark.drill
def test_a_flood_does_not_reach_the_site(site):
    daemon = site()
    going = threading.Event()

    def flood():
        with contextlib.suppress(OSError):
            while not going.is_set():
                ask(daemon, "/api/status")
                ask(daemon, "/api/incidents")

    flooding = [threading.Thread(target=flood) for _ in range(16)]
    for thread in flooding:
        thread.start()
    for _ in range(20):
        assert daemon.get().text == "hello"
    assert daemon.command("status").returncode == 0
    going.set()
    for thread in flooding:
        thread.join()
    assert "admin died" not in daemon.log


def test_the_extra_is_not_installed(daemon):
    """Neither `check` nor a start nor a reload goes on without it, and each says what to do."""
    daemon.write("app.py", saying("hello"))
    daemon.write("hidden/sitecustomize.py", "import sys; sys.modules['prometheus_client'] = None")
    hidden = {"PYTHONPATH": str(daemon.folder / "hidden")}
    daemon.site(workers=1)
    daemon.start(env=hidden)
    daemon.site(workers=1, admin=ADMIN)
    what = (
        r"admin needs prometheus-client, which is not installed: python -m pip install 'superwsgi\[admin\]'"
    )
    daemon.reload(f"(?s)reload refused.*{what}")
    assert daemon.get().text == "hello"
    daemon.stop()
    mark = daemon.mark()
    daemon.start(ready=False, env=hidden)
    assert daemon.wait_exit() == 2
    assert re.search(what, daemon.log[mark:])


GONE_FOR_A_WHILE = """
import os, sys
from importlib.machinery import PathFinder

class Finder:
    def find_spec(name, path=None, target=None):
        gone = name == "prometheus_client" and os.path.exists({flag!r})
        return None if gone else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""


@pytest.mark.drill
def test_the_extra_is_gone_for_a_while(daemon):
    """While packages are installed anew, say, the log names what is missing, in a line, and it comes back."""
    daemon.write("app.py", saying("hello"))
    flag = daemon.folder / "gone"
    daemon.write("hidden/sitecustomize.py", GONE_FOR_A_WHILE.format(flag=str(flag)))
    daemon.site(workers=1, admin=ADMIN)
    daemon.start(env={"PYTHONPATH": str(daemon.folder / "hidden")})
    daemon.wait_log("admin ready")
    flag.touch()
    mark = daemon.mark()
    admin_process(daemon).kill()
    daemon.wait_log('admin not started reason="admin needs prometheus-client, which is not installed', mark)
    flag.unlink()
    daemon.wait_log("admin ready", mark)
    assert "Traceback" not in daemon.log
    assert daemon.get().text == "hello"
