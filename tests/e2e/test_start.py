"""Starting: exit codes, clear errors, sockets, users, the pid file."""

import os
import pwd
import re
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest

from tests.e2e.daemon import COMMAND, Daemon, wait_for

OK = """
    import os
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [f"{os.getuid()} {os.getgid()} {sorted(os.getgroups())} {os.umask(0o77):o}".encode()]
"""


def run(folder, *arguments):
    """The finished command; nothing that an operator did wrong may show a traceback of ours."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env={**os.environ, "RUNTIME_DIRECTORY": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert "superwsgi/master" not in done.stderr
    return done


@pytest.fixture
def site(daemon):
    daemon.write("app.py", OK)
    daemon.site(workers=1)
    return daemon


def test_wrong_site_files_end_with_2_and_say_where(site):
    site.site("thraeds: 3\ntimeouts: {head: soon}\nworkers: 80000\n")
    done = run(site.folder, "-c", "site.yaml")
    assert done.returncode == 2
    assert "site.yaml:5:1" in done.stderr
    assert "threads" in done.stderr
    assert "site.yaml:6:" in done.stderr
    assert "site.yaml:7:10: workers: expected a whole number from 1 to 1024, or auto" in done.stderr


def test_a_missing_site_file(site):
    done = run(site.folder, "-c", "nosuch.yaml")
    assert done.returncode == 2
    assert "nosuch.yaml" in done.stderr
    assert "a site file is written by `superwsgi init`" in done.stderr


@pytest.mark.parametrize(
    "arguments", [[], ["serve", "nosuch.yaml"], ["nonsense"], ["run", "nosuch.py"], ["-c"]]
)
def test_wrong_usage_ends_with_2(site, arguments):
    assert run(site.folder, *arguments).returncode == 2


@pytest.mark.parametrize("preload", [False, True])
@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import nosuchmodule", "nosuchmodule"),
        ("def app(:", "app.py"),
        ("application = 1", "app"),
        ("raise SystemExit(0)", "SystemExit"),
        ("import os; os._exit(0)", "exit code 0"),
        ("import superwsgi; superwsgi.run(print, port=0)", "call superwsgi.run below `if __name__ =="),
        (
            "import subprocess, sys; sys.exit(subprocess.call([sys.executable, *sys.orig_argv[1:]]))",
            "does the module call app.run(debug=True)?",
        ),
    ],
)
def test_an_application_that_does_not_load_ends_with_3(site, code, words, preload):
    site.write("app.py", code)
    site.site(workers=1, preload=preload)
    done = run(site.folder, "-c", "site.yaml")
    assert done.returncode == 3, done.stderr
    assert "did not load" in done.stderr
    assert words in done.stderr


@pytest.mark.parametrize("code", ["os._exit(0)", "os.closerange(3, 256)", "os.dup2(os.open('/', 0), 3)"])
def test_an_import_that_ends_its_mold_is_told_how_it_may_have(site, code):
    site.write("app.py", f"import os; {code}")
    done = run(site.folder, "-c", "site.yaml")
    assert done.returncode == 3, done.stderr
    assert "it calls os._exit, or closes descriptors that it did not open" in done.stderr


def test_threads_that_the_system_does_not_give_end_with_3(site):
    """Their stacks have no room: RLIMIT_AS holds for root too, RLIMIT_NPROC does not."""
    limit = "import resource; resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))\n"
    site.write("app.py", limit + textwrap.dedent(OK))
    site.site(workers=1, threads=900)
    done = run(site.folder, "-c", "site.yaml")
    assert done.returncode == 3, done.stderr
    assert "too few for threads: 900" in done.stderr
    assert "pids.max" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_address_in_use_ends_with_4(site):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        site.site(bind=f"127.0.0.1:{taken.getsockname()[1]}")
        done = run(site.folder, "-c", "site.yaml")
    assert done.returncode == 4
    assert "in use" in done.stderr


def test_one_address_in_two_spellings_ends_with_4(site, unused):
    site.site(bind=[f"127.0.0.1:{unused}", f"localhost:{unused}"])
    done = run(site.folder, "-c", "site.yaml")
    assert done.returncode == 4
    assert f"cannot bind localhost:{unused}: it is the same as 127.0.0.1:{unused}" in done.stderr


@pytest.fixture
def unused():
    """A port that the kernel chose a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_an_unknown_host_ends_with_4(site):
    site.site(bind="no-such-host.invalid:80")
    assert run(site.folder, "-c", "site.yaml").returncode == 4


def test_version_and_help(site):
    version = run(site.folder, "--version").stdout
    assert re.fullmatch(r"superwsgi [\d.]+ \(Python 3[\w.+]+, (compiled|pure Python)\)\n", version)
    help_text = run(site.folder, "--help").stdout
    assert all(word in help_text for word in ("serve", "run", "check", "HUP", "TTIN"))


class TestCheck:
    def test_a_site_that_would_start(self, site):
        done = run(site.folder, "check", "-c", "site.yaml")
        assert (done.returncode, done.stderr) == (0, "")
        assert "fine" in done.stdout

    def test_an_application_that_does_not_load(self, site):
        site.write("app.py", "import nosuchmodule")
        done = run(site.folder, "check", "-c", "site.yaml")
        assert done.returncode == 3
        assert "nosuchmodule" in done.stderr

    @pytest.mark.drill
    def test_an_import_that_hangs_is_shown_by_its_stack(self, site):
        site.write(
            "app.py", "import threading\n\ndef serve_myself(): threading.Event().wait()\n\nserve_myself()"
        )
        site.site("timeouts: {boot: 15s}\n")  # to have come as far on a slow machine
        done = run(site.folder, "check", "-c", "site.yaml")
        assert done.returncode == 3
        assert 'app.py", line 5 in <module>' in done.stderr
        assert "not loaded after 15s (timeouts.boot); its stacks are above" in done.stderr

    def test_everything_at_once(self, site):
        site.write("app.py", "import nosuchmodule")
        site.site("user: nobody-of-that-name\nlog: {error: no/such/folder.log}\npidfile: neither/this.pid\n")
        done = run(site.folder, "check", "-c", "site.yaml")
        assert done.returncode == 2
        for word in ("nosuchmodule", "nobody-of-that-name", "no/such", "neither"):
            assert word in done.stderr

    def test_files_that_cannot_be_written(self, site):
        (site.folder / "folder.log").mkdir()
        site.site(
            "log: {access: folder.log, error: no/such.log}\npidfile: app.py/this.pid\n", bind="unix:no/x.sock"
        )
        done = run(site.folder, "check", "-c", "site.yaml")
        assert done.returncode == 2
        for words in (
            "log.access: .*is a folder",
            "log.error: .*no does not exist",
            "pidfile: .*app.py is not a folder",
            "bind: .*no does not exist",
        ):
            assert re.search(words, done.stderr), done.stderr

    def test_leaves_files_as_they_are(self, site):
        (site.folder / "error.log").write_text("old")
        (site.folder / "site.pid").write_text("123\n")
        site.site("log: {access: access.log, error: error.log}\npidfile: site.pid\n")
        before = {path.name for path in site.folder.iterdir()}
        assert run(site.folder, "check", "-c", "site.yaml").returncode == 0
        assert {path.name for path in site.folder.iterdir()} - {"__pycache__"} == before
        assert (site.folder / "error.log").read_text() == "old"
        assert (site.folder / "site.pid").read_text() == "123\n"

    def test_a_wrong_site_file(self, site):
        site.site("threads: none\n")
        assert run(site.folder, "check", "-c", "site.yaml").returncode == 2


class TestAddresses:
    def test_several(self, site):
        path = site.folder / "x.sock"
        site.site(bind=["127.0.0.1:0", "[::1]:0", f"unix:{path}"])
        site.start()
        assert site.log.count("listening") == 3
        assert site.get().status == 200
        assert _get_unix(path).startswith(b"HTTP/1.1 200")

    def test_a_unix_socket_has_its_mode_and_goes_with_the_site(self, site):
        path = site.folder / "x.sock"
        site.site(workers=1, bind=[{"unix": "x.sock", "mode": "0620"}])
        site.start()
        assert stat.S_IMODE(path.stat().st_mode) == 0o620
        assert site.stop() == 0
        assert not path.exists()

    def test_a_stale_unix_socket_is_replaced(self, site):
        path = site.folder / "x.sock"
        with socket.socket(socket.AF_UNIX) as old:
            old.bind(str(path))
        site.site(bind=f"unix:{path}")
        site.start()
        assert _get_unix(path).startswith(b"HTTP/1.1 200")

    def test_a_unix_socket_that_somebody_listens_on_is_left_alone(self, site):
        path = site.folder / "x.sock"
        site.site(bind=f"unix:{path}")
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(str(path))
            other.listen()
            done = run(site.folder, "-c", "site.yaml")
        assert done.returncode == 4
        assert "listens there" in done.stderr
        assert path.exists()

    def test_a_file_that_is_no_socket_is_left_alone(self, site):
        (site.folder / "x.sock").write_text("precious")
        site.site(bind="unix:x.sock")
        assert run(site.folder, "-c", "site.yaml").returncode == 4
        assert (site.folder / "x.sock").read_text() == "precious"


def _get_unix(path):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(60)
        sock.connect(str(path))
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        return sock.recv(65536)


@pytest.mark.drill
class TestPidFile:
    def test_is_there_while_the_site_runs(self, site):
        site.site(workers=1, pidfile="site.pid")
        site.start()
        assert (site.folder / "site.pid").read_text() == f"{site.pid}\n"
        assert site.stop() == 0
        assert not (site.folder / "site.pid").exists()

    def test_a_second_start_is_refused(self, site):
        site.site(workers=1, pidfile="site.pid")
        site.start()
        done = run(site.folder, "-c", "site.yaml")
        assert done.returncode == 1
        assert str(site.pid) in done.stderr
        assert (site.folder / "site.pid").exists()

    def test_a_stale_one_is_taken_over(self, site):
        (site.folder / "site.pid").write_text(f"{os.getpid()}\n")  # alive, but it does not hold the file
        site.site(workers=1, pidfile="site.pid")
        site.start()
        assert (site.folder / "site.pid").read_text() == f"{site.pid}\n"

    def test_a_killed_master_leaves_a_stale_one(self, site):
        site.site(workers=1, pidfile="site.pid")
        site.start()
        site.workers()
        site.send(signal.SIGKILL)
        site.wait_exit()
        mark = site.mark()
        site.start(ready=False)
        site.wait_log("serving", since=mark)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
class TestPrivileges:
    @pytest.fixture
    def opened(self):
        """A site in a folder that another user may enter, which pytest's own are not."""
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o755)
            daemon = Daemon(Path(folder))
            daemon.write("app.py", OK)
            yield daemon
            daemon.clean_up()

    def test_workers_run_as_the_user_with_its_groups_and_mask(self, opened):
        nobody = pwd.getpwnam("nobody")
        opened.site(workers=1, user="nobody", umask="0027")
        opened.start()
        groups = sorted(os.getgrouplist("nobody", nobody.pw_gid))
        assert opened.get().text == f"{nobody.pw_uid} {nobody.pw_gid} {groups} 27"

    def test_a_user_may_be_a_number_without_a_name(self, opened):
        opened.site(workers=1, user="54321", umask="0027")
        opened.start()
        assert opened.get().text == "54321 54321 [54321] 27"

    @pytest.mark.parametrize("preload", ["auto", False])
    def test_the_environment_is_that_users(self, opened, preload):
        opened.write(
            "app.py",
            """
            import os
            HOME, WHO = os.path.expanduser("~"), (os.environ["USER"], os.environ["LOGNAME"])
            def app(environ, start_response):
                start_response("200 OK", [])
                return [f"{HOME} {WHO}".encode()]
            """,
        )
        opened.site(workers=1, user="nobody", preload=preload, env={"LOGNAME": "shop"})
        opened.start()
        assert opened.get().text == f"{pwd.getpwnam('nobody').pw_dir} ('nobody', 'shop')"

    def test_the_unix_socket_belongs_to_the_user(self, opened):
        opened.site(workers=1, user="nobody", bind=["127.0.0.1:0", "unix:x.sock"])
        opened.start()
        assert (opened.folder / "x.sock").stat().st_uid == pwd.getpwnam("nobody").pw_uid

    def test_log_files_are_opened_and_reopened_with_the_masters_rights(self, opened):
        (opened.folder / "logs").mkdir(mode=0o700)
        opened.site(workers=1, user="nobody", log={"access": "logs/access.log", "error": "logs/error.log"})
        opened.start(ready=False)
        error_log = opened.folder / "logs/error.log"
        wait_for(lambda: error_log.exists() and "serving" in error_log.read_text(), "error log")
        error_log.rename(opened.folder / "logs/old.log")
        opened.send(signal.SIGUSR1)
        wait_for(lambda: error_log.exists() and "reopened" in error_log.read_text(), "new error log")

    def test_an_unknown_user_ends_with_2(self, site):
        site.site(workers=1, user="nobody-of-that-name")
        done = run(site.folder, "-c", "site.yaml")
        assert done.returncode == 2
        assert "nobody-of-that-name" in done.stderr


def test_run_without_a_site_file(site):
    site.start("run", "app:app", "--bind", "127.0.0.1:0", "--workers", "1", "--threads", "2")
    assert site.get().status == 200
    assert site.stop() == 0


@pytest.mark.drill
class TestFromAScript:
    SCRIPT = """
        import os, superwsgi
        def app(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [str(os.getpid()).encode()]
        if __name__ == "__main__":
            superwsgi.run(app, "127.0.0.1", 0, threaded=True, processes=2{more})
            print("returned")
    """

    def script(self, site, more=""):
        site.write("script.py", self.SCRIPT.format(more=more))
        return site

    def test_serves_with_master_and_workers(self, site):
        self.script(site).spawn([sys.executable, "script.py"])
        workers = site.wait_workers(2)
        assert int(site.get().text) in workers
        assert site.stop() == 0
        assert "returned" in site.log

    def test_hup_replaces_the_workers(self, site):
        self.script(site).spawn([sys.executable, "script.py"])
        before = site.wait_workers(2)
        site.send(signal.SIGHUP)
        site.wait_log("reload complete")
        assert not set(site.wait_workers(2)) & set(before)
        assert site.get().status == 200

    def test_a_killed_worker_is_replaced(self, site):
        self.script(site).spawn([sys.executable, "script.py"])
        before = site.wait_workers(2)
        site.send(signal.SIGKILL, before[0])
        wait_for(lambda: before[0] not in site.workers() and len(site.workers()) == 2, "replacement")

    def test_debug_is_refused(self, site):
        self.script(site, ", debug=True").spawn([sys.executable, "script.py"], ready=False)
        assert site.wait_exit() == 1
        assert "no debug mode" in site.log

    @pytest.mark.parametrize("more", [", debug=False, use_reloader=False", ", threads=3"])
    def test_arguments_for_development_may_stand_there_switched_off(self, site, more):
        self.script(site, more).spawn([sys.executable, "script.py"])
        assert site.get().status == 200

    @pytest.mark.parametrize("more", [", use_reloader=True", ", nonsense=1"])
    def test_arguments_that_cannot_be_had_are_refused(self, site, more):
        self.script(site, more).spawn([sys.executable, "script.py"], ready=False)
        assert site.wait_exit() == 1
        assert more.strip(", ").split("=")[0] in site.log
