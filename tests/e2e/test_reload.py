"""HUP: new code and configuration take over, or the old ones go on serving."""

import fcntl
import signal
import socket
import stat
import textwrap

import psutil
import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.load import Load

APP = """
    import os
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"{}"]
"""


@pytest.fixture(params=[False, True], ids=["import per worker", "preload"])
def site(daemon, request):
    daemon.write("app.py", APP.format("one"))
    daemon.preload = request.param
    daemon.site(workers=2, preload=request.param)
    daemon.start()
    daemon.wait_workers(2)
    return daemon


def reload(site, outcome="reload complete"):
    mark = site.mark()
    site.send(signal.SIGHUP)
    return site.wait_log(outcome, since=mark)


def test_new_code_takes_over(site):
    before = site.workers()
    site.write("app.py", APP.format("two"))
    reload(site)
    assert {site.get().text for _ in range(10)} == {"two"}
    assert not set(site.wait_workers(2)) & set(before)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("def app(:\n", "SyntaxError|invalid syntax"),
        ("import nosuchmodule\n", "nosuchmodule"),
        ("x = 1\n", "app"),
        ("import os; os._exit(5)\n", "exit code 5"),
        ("import sys; sys.exit(5)\n", "SystemExit|exit"),
        (
            "import os, threading\nthreading.Timer(0.3, os._exit, [9]).start()\n"
            "def app(e, s):\n    s('200 OK', [])\n    return [b'bad']\n",
            "exit code 9",
        ),
    ],
    ids=["syntax error", "import error", "no such attribute", "exits at import", "sys.exit", "dies early"],
)
def test_broken_code_does_not_take_over(site, code, reason):
    before = site.workers()
    site.write("app.py", code)
    reload(site, f"reload failed.*({reason})|reload failed[^\n]*\n( [^\n]*\n)*[^\n]*({reason})")
    wait_for(lambda: set(site.wait_workers(2)) <= set(before), "only the old workers")
    assert {site.get().text for _ in range(10)} == {"one"}
    site.write("app.py", APP.format("mended"))
    reload(site)
    assert {site.get().text for _ in range(10)} == {"mended"}


def test_a_worker_killed_while_the_disk_holds_broken_code(site):
    site.write("app.py", "import nosuchmodule\n")
    before = site.workers()
    site.send(signal.SIGKILL, before[0])
    if site.preload:
        wait_for(lambda: before[0] not in site.workers() and len(site.workers()) == 2, "replacement")
    else:
        site.wait_log("nosuchmodule")
    assert {site.get().text for _ in range(10)} == {"one"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("threads: eight", "site.yaml:"),
        ("wrokers: 3", "workers"),
        ("workers: [", "site.yaml:"),
        ("chdir: nowhere", "nowhere"),
        ("user: nobody-of-that-name", "nobody-of-that-name"),
        ("log: {error: nowhere/error.log}", "nowhere"),
    ],
)
def test_a_broken_configuration_does_not_take_over(site, text, reason):
    before = site.workers()
    site.site(text, preload=site.preload)
    reload(site, f"reload (refused|failed)[^\n]*(\n [^\n]*)*{reason}")
    assert site.wait_workers(2) == before
    assert site.get().text == "one"


def test_an_address_in_use_does_not_take_over(site):
    host, port = site.address
    other = site.connect()
    taken = other.getsockname()[1]
    site.site(workers=2, bind=[f"{host}:{port}", f"{host}:{taken}"])
    reload(site, "reload refused")
    other.close()
    assert site.get().text == "one"


def test_another_worker_count_takes_over(site):
    site.site(workers=3, preload=site.preload)
    reload(site)
    site.wait_workers(3)
    site.site(workers=1, preload=site.preload)
    reload(site)
    site.wait_workers(1)
    assert site.get().text == "one"


def test_an_application_that_never_loads_is_given_up(site):
    site.write("app.py", "import time\ntime.sleep(60)\n")
    site.site(workers=2, preload=site.preload, timeouts={"boot": "1s"})
    reload(site, r"reload failed.*timeouts\.boot")
    assert site.get().text == "one"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stop_in_the_middle_of_a_reload_is_obeyed(site, number):
    site.write("app.py", "import time\ntime.sleep(60)\n")
    mark = site.mark()
    site.send(signal.SIGHUP)
    site.wait_log("reload begun", since=mark)
    assert site.stop(number) == 0


def test_a_worker_that_dies_during_a_reload_is_replaced(site):
    site.write("app.py", "import time\ntime.sleep(1.5)\n" + textwrap.dedent(APP.format("two")))
    before = site.workers()
    mark = site.mark()
    site.send(signal.SIGHUP)
    site.wait_log("reload begun", since=mark)
    site.send(signal.SIGKILL, before[1])
    site.wait_log("reload complete", since=mark)
    assert {site.get().text for _ in range(10)} == {"two"}
    site.wait_workers(2)


def test_two_reloads_in_a_row_end_with_the_newest_code(site):
    site.write("app.py", APP.format("two"))
    site.send(signal.SIGHUP)
    site.wait_log("reload begun")
    site.write("app.py", APP.format("three"))
    mark = site.mark()
    site.send(signal.SIGHUP)
    site.wait_log("reload begun", since=mark)
    site.wait_log("reload complete", since=mark)
    wait_for(lambda: {site.get().text for _ in range(10)} == {"three"}, "the newest code")


class TestAddresses:
    """What happens to the sockets."""

    @pytest.fixture
    def site(self, daemon):
        daemon.write("app.py", APP.format("one"))
        daemon.site(workers=2)
        daemon.start()
        daemon.wait_workers(2)
        return daemon

    def test_to_all_interfaces_and_back_without_losing_a_connection(self, site):
        host, port = site.address
        with Load((host, port), clients=4, keep_alive=False) as load:
            for bind in (f"0.0.0.0:{port}", f"127.0.0.1:{port}", f":{port}", f"localhost:{port}"):
                site.site(workers=2, bind=bind)
                reload(site)
                wide = bind.startswith(("0", ":"))
                wait_for(lambda wide=wide: _answers("127.0.0.2", port) == wide, f"what {bind} says")
        assert load.broken == []
        assert len(load.answers) > 20

    def test_to_one_interface_is_refused_with_the_reason(self, site):
        port = site.address[1]
        site.stop()
        mark = site.mark()
        site.site(workers=2, bind=f":{port}")
        site.start(ready=False)
        site.wait_log("serving", since=mark)
        site.site(workers=2, bind=f"127.0.0.1:{port}")
        reload(site, r"reload refused[^\n]*\n.*cannot be narrowed")
        assert _answers("127.0.0.2", port)

    def test_a_second_start_beside_a_widened_address_is_refused(self, site):
        port = site.address[1]
        site.site(workers=2, bind=f":{port}")
        reload(site)
        other = [socket.socket() for _ in range(2)]
        for sock, host in zip(other, ("127.0.0.1", "0.0.0.0"), strict=True):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with sock, pytest.raises(OSError, match="in use"):
                sock.bind((host, port))

    def test_a_mode_changes_only_with_the_generation(self, site):
        path = site.folder / "x.sock"
        site.site(workers=1, bind=["127.0.0.1:0", {"unix": "x.sock", "mode": "0600"}])
        reload(site)
        site.write("app.py", "import nosuchmodule\n")
        site.site(workers=1, bind=["127.0.0.1:0", {"unix": "x.sock", "mode": "0660"}])
        reload(site, "reload failed")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        site.write("app.py", APP.format("two"))
        reload(site)
        assert stat.S_IMODE(path.stat().st_mode) == 0o660


def _answers(host, port):
    try:
        socket.create_connection((host, port), 20).close()
    except ConnectionRefusedError:
        return False
    return True


def test_pid_file_and_name_change_with_the_generation(site):
    """Not before, and not at all if it does not take over."""
    old, new = site.folder / "old.pid", site.folder / "new.pid"
    site.site(workers=1, pidfile="old.pid")
    reload(site)
    assert old.read_text() == f"{site.pid}\n"
    site.write("app.py", "import nosuchmodule\n")
    site.site(workers=1, pidfile="new.pid", name="other")
    reload(site, "reload failed")
    assert old.exists()
    assert not new.exists()
    site.write("app.py", APP.format("two"))
    reload(site)
    assert new.read_text() == f"{site.pid}\n"
    assert not old.exists()
    assert "superwsgi: master [other]" in " ".join(psutil.Process(site.pid).cmdline())
    site.site(workers=1)
    reload(site)
    assert not new.exists()


def test_after_a_pid_file_was_taken_by_others_the_way_back_is_open(site):
    old, new = site.folder / "old.pid", site.folder / "new.pid"
    site.site(workers=1, pidfile="old.pid")
    reload(site)
    site.site(workers=1, pidfile="new.pid")
    mark = site.mark()
    site.send(signal.SIGHUP)
    site.wait_log("rolled out", since=mark)
    with new.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        site.wait_log("not changed reason=.*is held by process", since=mark)
    site.site(workers=1, pidfile="old.pid")
    reload(site)
    assert old.read_text() == f"{site.pid}\n"


def test_a_pid_file_that_cannot_be_had_does_not_take_over(site):
    taken = site.folder / "taken.pid"
    with taken.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        for pidfile, words in (("taken.pid", "is held by process"), ("no/such.pid", "cannot write pid file")):
            site.site(workers=2, preload=site.preload, pidfile=pidfile)
            reload(site, rf"reload refused[^\n]*\n.*{words}")
    assert site.get().text == "one"
