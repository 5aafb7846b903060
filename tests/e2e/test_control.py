"""`superwsgi status`, `reload` and `stop`: an operator and a deploy script, and others who connect."""

import contextlib
import json
import os
import signal
import socket
import stat
import subprocess
import tempfile
import time
from pathlib import Path

import psutil
import pytest

from superwsgi.control import Outcome, Progress, ReloadRequest, Stage, StatusRequest, decode_answer, encode
from tests.e2e.daemon import HOLDS, Daemon, dying, wait_for

APP = """
    import os, time
    open("loading-{version}", "w").close()
    time.sleep({pause})
    def app(environ, start_response):
        if environ["PATH_INFO"] == "/exit":
            os._exit(7)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"{version}"]
"""


@pytest.fixture
def site(daemon):
    code(daemon, "one")
    daemon.site(workers=2, name="shop")
    daemon.start()
    daemon.wait_workers(2)
    return daemon


@pytest.fixture(scope="module")
def shared(shared_daemon):
    """One for all who only ask."""
    code(shared_daemon, "one")
    shared_daemon.site(workers=2, name="shop")
    return shared_daemon.start()


def code(daemon, version, pause=0):
    daemon.write("app.py", APP.format(version=version, pause=pause))


@contextlib.contextmanager
def connected(site):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(site.folder / "control.sock"))
        sock.settimeout(60)
        yield sock


def say(site, line):
    """All that the master answers to a line."""
    with connected(site) as sock, contextlib.suppress(ConnectionResetError):
        sock.sendall(line)
        return b"".join(iter(lambda: sock.recv(65536), b""))
    return b""


class TestStatus:
    def test_shows_the_site_and_its_workers(self, site):
        done = site.command("status", "-c", "site.yaml")
        assert done.returncode == 0, done.stderr
        head, addresses, minute, threads, total, _, columns, *rows = done.stdout.splitlines()
        assert head.startswith("shop: healthy, generation 1, 2 of 2 workers, up ")
        assert addresses.startswith("http://{}:{}, ".format(*site.address))
        assert f" pid {site.pid}, " in addresses
        assert minute.endswith(": no requests")
        assert threads == "threads: 0 of 8 busy, up to 64"
        assert total == "total: 0 requests, 0 answered 4xx, 0 answered 5xx"
        assert columns.split()[:4] == ["worker", "pid", "gen", "state"]
        assert [row.split()[1] for row in rows] == [str(pid) for pid in site.workers()]
        assert all("serving" in row for row in rows)

    def test_as_json(self, site):
        site.get()

        def counted():  # a little later than its client has its answer
            said = json.loads(site.command("status", "--json").stdout)
            return said if sum(worker["requests"] for worker in said["workers"]) == 1 else None

        said = wait_for(counted, "the request in the status")
        assert (said["version"], said["site"], said["phase"], said["wanted"]) == (1, "shop", "running", 2)
        assert {worker["pid"] for worker in said["workers"]} == set(site.workers())
        assert all(worker["rss"] > 1 << 20 for worker in said["workers"])

    def test_says_how_the_last_worker_died(self, site):
        assert site.raw(b"GET /exit HTTP/1.1\r\nHost: x\r\n\r\n") == b""
        site.wait_log("died")
        site.wait_workers(2)
        assert "ago: exit code 7" in site.command("status").stdout

    def test_a_crash_loop(self, site):
        site.stop()
        site.write("app.py", dying(1))
        mark = site.mark()
        site.start(ready=False)
        site.wait_log("in 800ms", since=mark)
        done = wait_for(lambda: "crash-loop" in (d := site.command("status")).stdout and d, "crash-loop")
        assert "exit code 1" in done.stdout

    def test_without_a_master(self, site):
        site.stop()
        assert site.command("status", "--control", "control.sock").returncode == 2
        assert site.command("status", "-c", "site.yaml").returncode == 2

    def test_a_master_that_was_killed_leaves_a_socket(self, site):
        workers = site.workers()
        site.send(signal.SIGKILL)
        site.wait_exit()
        wait_for(lambda: not any(map(psutil.pid_exists, workers)), "end of the orphans")
        done = site.command("status")
        assert (done.returncode, "Connection refused" in done.stderr) == (2, True)
        mark = site.mark()
        site.start(ready=False)
        site.wait_log("(?s)serving.* serving", since=mark)
        assert site.command("status").returncode == 0

    @pytest.mark.parametrize(
        "text", ["app: app:app\nname: shop\n", "wrokers: ["], ids=["of its name", "broken"]
    )
    def test_a_file_of_another_site_does_not_reach_this_one(self, site, text):
        other = site.write("other/site.yaml", text)
        for command in ("stop", "reload", "upgrade", "status"):
            done = site.command(command, "-c", other)
            assert done.returncode == 2, (command, done)
            assert "wrokers" in text or f"belongs to {site.folder / 'site.yaml'}" in done.stderr
        assert site.get().text == "one"
        assert "asked to" not in site.log

    def test_a_site_file_by_another_path(self, site):
        (site.folder / "link").symlink_to(site.folder)
        assert site.command("status", "-c", "link/site.yaml").returncode == 0

    def test_a_site_whose_file_is_broken_meanwhile(self, site):
        site.write("site.yaml", "wrokers: [")
        assert site.command("status", "-c", "site.yaml").returncode == 0


class TestReload:
    def test_is_begun_and_not_waited_for(self, site):
        code(site, "two")
        assert site.command("reload").returncode == 0
        site.wait_log("reload complete")
        assert "asked to reload by=" in site.log

    def test_waits_until_the_new_generation_serves(self, site):
        code(site, "two", pause=0.5)
        done = site.command("reload", "--wait", "-c", "site.yaml")
        assert (done.returncode, done.stderr) == (0, "")
        assert {site.get().text for _ in range(10)} == {"two"}
        steps = done.stdout.splitlines()
        assert steps[0] == "generation 2: loading"
        assert "generation 2: 2 of 2 workers serve" in steps
        assert steps[-1].startswith("generation 2 serves, after ")

    @pytest.mark.parametrize(
        ("name", "text", "words"),
        [
            ("app.py", "import nosuchmodule\n", ["failed", "nosuchmodule", "Traceback"]),
            ("app.py", "import os; os._exit(5)\n", ["failed", "exit code 5"]),
            ("site.yaml", "app: app:app\nwrokers: 2\nname: shop\n", ["refused", "wrokers"]),
            ("site.yaml", "app: app:app\nbind: 127.0.0.1:1\nname: shop\nuser: nosuchuser\n", ["nosuchuser"]),
        ],
        ids=["import error", "exits at import", "configuration", "user"],
    )
    def test_broken_code_or_configuration_fails_and_says_why(self, site, name, text, words):
        site.write(name, text)
        done = site.command("reload", "--wait", "--control", site.folder / "control.sock")
        assert done.returncode == 1
        assert all(word in done.stderr for word in words), done.stderr
        assert site.get().text == "one"
        assert words[-1] in done.stderr
        assert "last reload failed: " in site.command("status", "--control", "control.sock").stdout

    def test_what_an_application_says_moves_no_terminals_cursor(self, site):
        site.write("app.py", "raise RuntimeError('\\x1b[2J')")
        done = site.command("reload", "--wait")
        assert done.returncode == 1
        for said in (done.stderr, site.command("status").stdout, site.log):
            assert "\x1b" not in said
            assert "[2J" in said

    def test_code_that_dies_soon_is_rolled_back_and_says_so(self, site):
        site.write("app.py", dying(9))
        done = site.command("reload", "--wait")
        assert done.returncode == 1
        assert "reload rolled back: generation 2: worker 1: exit code 9" in done.stderr

    def test_two_at_once(self, site, start_command):
        """The second takes the place of the first while that loads; both hear how it went."""
        code(site, "two", pause=60)
        site.site(workers=2, name="shop", preload=True)
        first = start_command("reload", "--wait")
        wait_for((site.folder / "loading-two").exists, "import of the first")
        code(site, "three")
        second = start_command("reload", "--wait")
        assert [first.wait(60), second.wait(60)] == [0, 0]
        assert "generation 3 serves" in first.communicate()[0]
        assert "generation 3 serves" in second.communicate()[0]
        assert site.get().text == "three"

    def test_one_while_another_is_rolled_out_waits_for_its_own(self, site, start_command):
        site.write("app.py", APP.format(version="one", pause=0) + HOLDS)
        site.site(workers=2, name="shop", preload=True, hooks={"after_fork": "app:after_fork"})
        first = start_command("reload", "--wait")
        site.wait_log(r"gen=2 pid=\d+ serving")
        site.write("app.py", "import nosuchmodule\n")
        with connected(site) as sock, sock.makefile("rb") as lines:
            sock.sendall(encode(ReloadRequest(follow=True)))
            assert decode_answer(lines.readline()) == Progress(stage=Stage.NOTED)
            site.write("go", "")
            answers = [decode_answer(line) for line in lines]
        assert first.wait(60) == 0
        assert "generation 2 serves" in first.communicate()[0]
        assert answers[-1].outcome is Outcome.FAILED
        assert "nosuchmodule" in answers[-1].reason
        assert site.get().status == 200

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
    def test_a_stop_meanwhile(self, site, start_command, number):
        code(site, "two", pause=60)
        waiting = start_command("reload", "--wait")
        site.wait_log("reload begun")
        assert site.stop(number) == 0
        assert waiting.wait(60) == 1
        assert "reload stopped" in waiting.communicate()[1]

    def test_a_master_that_is_killed_meanwhile(self, site, start_command):
        code(site, "two", pause=60)
        waiting = start_command("reload", "--wait")
        site.wait_log("reload begun")
        site.workers()
        site.send(signal.SIGKILL)
        site.wait_exit()
        assert waiting.wait(60) == 1
        assert "master ended before the reload" in waiting.communicate()[1]

    def test_while_it_still_starts_it_is_the_start_that_is_waited_for(self, daemon):
        code(daemon, "one", pause=1.5)
        daemon.site(workers=1, preload=True)
        daemon.start(ready=False)
        daemon.wait_log("listening")
        assert "generation 1 serves" in daemon.command("reload", "--wait").stdout


@pytest.mark.drill
class TestStop:
    def test_waits_until_all_is_over(self, site):
        workers = site.workers()
        assert site.command("stop", "--wait").returncode == 0
        assert not any(map(psutil.pid_exists, workers))
        assert site.wait_exit() == 0
        assert not (site.folder / "control.sock").exists()
        assert 'reason="control socket, uid' in site.log

    def test_fast(self, site):
        assert site.command("stop", "--fast").returncode == 0
        assert site.wait_exit() == 0
        assert "how=fast" in site.log


@pytest.mark.drill
class TestSocket:
    def test_is_for_its_user_alone(self, site):
        assert stat.S_IMODE((site.folder / "control.sock").stat().st_mode) == 0o600

    def test_off(self, site):
        site.site(workers=1, control="off")
        assert site.command("reload", "--wait", "--control", "control.sock").returncode == 0
        assert not (site.folder / "control.sock").exists()
        assert site.command("status", "-c", "site.yaml").returncode == 2

    def test_where_the_site_file_says_and_moved_by_a_reload(self, site):
        site.site(workers=1, control="run.sock")
        assert site.command("reload", "--wait", "--control", "control.sock").returncode == 0
        assert site.command("status", "-c", "site.yaml").returncode == 0
        assert not (site.folder / "control.sock").exists()
        site.site(workers=1, control="no/such/folder.sock")
        done = site.command("reload", "--wait", "--control", "run.sock")
        assert (done.returncode, "no/such" in done.stderr) == (1, True)
        done = site.command("status", "--control", "run.sock")
        assert (done.returncode, "  last reload failed: " in done.stdout) == (1, True)

    def test_one_that_cannot_be_had_keeps_a_site_from_starting_if_it_is_named(self, site):
        bind = f"unix:{site.folder}/x.sock"
        site.site(workers=1, bind=bind, control="control.sock")
        done = site.command("-c", "site.yaml")
        assert done.returncode == 4
        assert "another program listens there" in done.stderr
        assert not (site.folder / "x.sock").exists()

    def test_and_is_another_one_if_it_is_not(self, site):
        """The same file served twice; which of the two is meant only the socket can tell."""
        site.site(workers=1, name="shop")
        other = Daemon(site.folder)
        other.log_file = site.folder / "other.log"
        try:
            other.start()
            second = site.folder / "control-2.sock"
            assert f"control socket has a number socket={second}" in other.log
            done = site.command("reload", "-c", "site.yaml")
            assert (done.returncode, done.stdout) == (2, "")
            assert "2 masters serve site.yaml; say which one is meant:" in done.stderr
            assert f"superwsgi reload --control {second}" in done.stderr
            assert site.command("stop", "--wait", "--control", second).returncode == 0
            assert other.wait_exit() == 0
        finally:
            other.clean_up()
        assert not second.exists()
        assert site.command("status", "-c", "site.yaml").returncode == 0

    def test_outlives_an_upgrade(self, site):
        inode = (site.folder / "control.sock").stat().st_ino
        site.send(signal.SIGUSR2)
        site.wait_log("program replaced")
        site.wait_log("reload complete")
        assert site.command("status").returncode == 0
        assert (site.folder / "control.sock").stat().st_ino == inode


class TestStrangers:
    @pytest.mark.parametrize(
        "line",
        [
            b"\n",
            b"GET / HTTP/1.1\r\n\r\n",
            b"\xff\xfe\n",
            b"{}\n",
            b'{"type":"nonsense","version":1}\n',
            b'{"type":"reload","version":1,"follow":"yes"}\n',
            b"x" * 100_000,
            b"[" * 4000 + b"\n",
        ],
    )
    def test_what_is_not_understood_is_refused(self, shared, line):
        answer = say(shared, line)
        assert b'"type":"refused"' in answer or (not answer and len(line) > 4096)
        assert shared.command("status").returncode == 0

    def test_another_version_is_told_ours(self, shared):
        assert b"version 2, but this program speaks 1" in say(shared, b'{"type":"status","version":2}\n')

    def test_fields_of_a_later_version_are_ignored(self, shared):
        assert b'"snapshot"' in say(shared, b'{"type":"status","version":1,"colour":"red"}\n')

    def test_a_request_in_pieces(self, shared):
        with connected(shared) as sock:
            for byte in encode(StatusRequest()):
                sock.sendall(bytes([byte]))
            assert sock.recv(65536).startswith(b'{"type":"snapshot"')

    def test_a_thousand_that_say_nothing(self, shared):
        with contextlib.ExitStack() as stack:
            for _ in range(1000):
                stack.enter_context(connected(shared))
            assert shared.command("status").returncode == 0
            assert psutil.Process(shared.pid).num_fds() < 100
            assert shared.get().status == 200

    def test_followers_that_never_read_hold_nothing_up(self, site):
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                sock = stack.enter_context(connected(site))
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
                sock.sendall(encode(ReloadRequest(follow=True)))
            mark = site.mark()
            assert site.command("reload", "--wait").returncode == 0
            site.wait_log("reload complete", since=mark)

    def test_one_that_hangs_up_after_asking(self, site):
        for _ in range(50):
            with connected(site) as sock:
                sock.sendall(encode(ReloadRequest(follow=True)))
        site.wait_log("reload complete")
        assert site.command("status").returncode == 0

    def test_one_that_asks_nothing_is_let_go(self, shared):
        with connected(shared) as sock:
            began = time.monotonic()
            assert sock.recv(1) == b""
            assert time.monotonic() - began > 5

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
    def test_another_user_is_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            site = Daemon(Path(folder))
            code(site, "one")
            site.site(workers=1)
            try:
                site.start()
                (site.folder / "control.sock").chmod(0o666)  # as an operator may by mistake
                answer = subprocess.run(
                    ["python3", "-c", ASKS, str(site.folder / "control.sock")],
                    user=65534,
                    capture_output=True,
                    timeout=60,
                    check=True,
                )
                assert b"only root and user 0 may control" in answer.stdout
                site.wait_log('refused by="uid 65534')
            finally:
                site.clean_up()


ASKS = """
import socket, sys
sock = socket.socket(socket.AF_UNIX)
sock.connect(sys.argv[1])
try:
    sock.sendall(b'{"type":"stop"}\\n')
except BrokenPipeError:
    pass
print(sock.recv(4096).decode())
"""
