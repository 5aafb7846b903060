"""Under systemd: the test is the service manager, by its own protocols (sd_notify(3), sd_listen_fds(3))."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.daemon import COMMAND, DEADLINE, wait_for
from tests.tools import needed, readable

pytestmark = pytest.mark.drill

APP = """
    import os
    PROTOCOL = ("NOTIFY", "LISTEN", "WATCHDOG")
    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [",".join(name for name in os.environ if name.startswith(PROTOCOL)).encode()]
"""


class Manager:
    """systemd's end of the notify protocol: what it was told, and the descriptors it was given."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.path)
        self.sock.settimeout(DEADLINE)
        self.said = []
        self.stored = {}

    def hear(self):
        text, fds, _, _ = socket.recv_fds(self.sock, 4096, 4)
        message = dict(line.split("=", 1) for line in text.decode().splitlines())
        self.said.append(message)
        if "FDSTORE" in message:
            self.stored[message["FDNAME"]] = fds[0]
        if "FDSTOREREMOVE" in message:
            os.close(self.stored.pop(message["FDNAME"]))
        return message

    def hears_within(self, seconds):
        """Whether another message comes; it is taken."""
        return readable(self.sock, seconds) and self.hear()

    def hear_until(self, told):
        """Listen until a message fits; returns it."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            message = self.hear()
            if told(message):
                return message
        raise AssertionError(f"not told: {self.said}")

    def close(self):
        self.sock.close()
        for fd in self.stored.values():
            os.close(fd)


@pytest.fixture
def manager(tmp_path):
    manager = Manager(tmp_path)
    yield manager
    manager.close()


def start(daemon, manager, **env):
    return daemon.start(ready=False, env={"NOTIFY_SOCKET": manager.path, **env})


def fail_to_start(daemon, manager):
    """Until all that it says has been heard."""
    daemon.site(workers=1)
    start(daemon, manager)
    assert daemon.wait_exit() == 3
    while manager.hears_within(0):
        pass


def is_status(text):
    return lambda message: text in message.get("STATUS", "")


def test_ready_is_said_when_a_worker_serves_and_not_before(daemon, manager):
    daemon.write(
        "app.py", "import time\ntime.sleep(0.7)\nfrom wsgiref.simple_server import demo_app as app\n"
    )
    daemon.site(workers=1)
    start(daemon, manager)
    manager.hear_until(lambda message: "READY" in message)
    assert "mold ready" in daemon.log
    daemon.wait_log(r"worker=1 .* serving\b")  # the log is written by a thread of its own
    first = manager.said[0]
    assert int(first["EXTEND_TIMEOUT_USEC"]) > 60e6, "the import may take timeouts.boot"
    daemon.send(signal.SIGTERM)
    assert manager.hear_until(lambda message: "EXTEND_TIMEOUT_USEC" in message)
    manager.hear_until(lambda message: "STOPPING" in message)
    assert daemon.wait_exit() == 0


def test_the_status_line_tells_workers_generation_and_load(daemon, manager):
    daemon.write("app.py", APP)
    daemon.site(workers=2)
    start(daemon, manager)
    manager.hear_until(is_status("2 of 2 workers, generation 1, 0 req/s"))
    daemon.wait_ready()
    for _ in range(5):
        daemon.get("/")
    manager.hear_until(lambda message: "STATUS" in message and " 0 req/s" not in message["STATUS"])


def test_a_reload_is_told_from_its_beginning_to_its_end(daemon, manager):
    daemon.write("app.py", APP)
    daemon.site(workers=1)
    start(daemon, manager)
    manager.hear_until(lambda message: "READY" in message)
    daemon.send(signal.SIGHUP)
    told = manager.hear_until(lambda message: "RELOADING" in message)
    assert abs(int(told["MONOTONIC_USEC"]) - time.monotonic_ns() // 1000) < DEADLINE * 1e6
    manager.hear_until(is_status("generation 2"))
    manager.hear_until(lambda message: "READY" in message)


def test_a_reload_may_take_as_long_as_the_site_file_says(daemon, manager):
    daemon.write("app.py", APP)
    daemon.site(workers=1)
    start(daemon, manager)
    manager.hear_until(lambda message: "READY" in message)
    daemon.write("app.py", "import time\ntime.sleep(60)\n")
    daemon.send(signal.SIGHUP)
    manager.hear_until(lambda message: "RELOADING" in message)
    for _ in range(2):
        told = manager.hear_until(lambda message: "EXTEND_TIMEOUT_USEC" in message)
        assert int(told["EXTEND_TIMEOUT_USEC"]) > 5e6, "until the next one comes"


def test_the_status_line_tells_how_far_a_stop_is(daemon, manager):
    daemon.write(
        "app.py",
        """
        import os, time
        def app(environ, start_response):
            open("in hand", "w").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
            start_response("200 OK", [])
            return [b"x"]
        """,
    )
    daemon.site(workers=2)
    start(daemon, manager)
    manager.hear_until(is_status("2 of 2 workers"))
    with daemon.connect() as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_for((daemon.folder / "in hand").exists)
        daemon.send(signal.SIGTERM)
        manager.hear_until(is_status("stopping, 1 worker left"))
        (daemon.folder / "go").touch()
        manager.hear_until(is_status("stopped"))
    assert daemon.wait_exit() == 0


def test_the_last_status_of_a_failed_start_says_why(daemon, manager):
    daemon.write("app.py", "import no_such_module\n")
    fail_to_start(daemon, manager)
    last = [message["STATUS"] for message in manager.said if "STATUS" in message][-1]
    assert last.startswith("did not start: ")
    assert "no_such_module" in last


def test_what_an_application_says_is_no_message_of_the_masters(daemon, manager):
    """MAINPID, of root's, would be believed."""
    daemon.write("app.py", "raise RuntimeError('x\\nMAINPID=1\\nSTOPPING=1')\n")
    fail_to_start(daemon, manager)
    assert not any("MAINPID" in message for message in manager.said)
    assert any("MAINPID=1" in message.get("STATUS", "") for message in manager.said)


@pytest.mark.parametrize("broken", ["app", "site"])
def test_a_failed_reload_ends_and_the_status_says_why(daemon, manager, broken):
    daemon.write("app.py", APP)
    daemon.site(workers=1)
    start(daemon, manager)
    manager.hear_until(lambda message: "READY" in message)
    if broken == "app":
        daemon.write("app.py", "import no_such_module\n")
    else:
        daemon.site(workers="many")
    daemon.send(signal.SIGHUP)
    manager.hear_until(lambda message: "RELOADING" in message)
    told = manager.hear_until(is_status("reload failed: "))
    manager.hear_until(lambda message: "READY" in message)
    assert "generation 1" in told["STATUS"]
    assert ("no_such_module" if broken == "app" else "workers") in told["STATUS"]


def test_the_watchdog_is_fed_and_the_application_knows_nothing_of_it(daemon, manager):
    daemon.write("app.py", APP)
    daemon.site(workers=1)
    start(daemon, manager, WATCHDOG_USEC="400000")
    for _ in range(3):
        manager.hear_until(lambda message: "WATCHDOG" in message)
    daemon.wait_ready()
    assert daemon.get("/").text == ""


def test_a_master_that_does_not_turn_does_not_feed_the_watchdog(daemon, manager):
    daemon.write("app.py", APP)
    daemon.site(workers=1)
    start(daemon, manager, WATCHDOG_USEC="200000")
    manager.hear_until(lambda message: "READY" in message)
    daemon.send(signal.SIGSTOP)
    while manager.hears_within(1.0):
        pass
    daemon.send(signal.SIGCONT)
    manager.hear_until(lambda message: "WATCHDOG" in message)


def test_a_site_that_is_down_is_not_restarted(daemon, manager):
    """That would mend nothing, and its clients wait."""
    daemon.write("app.py", APP)
    daemon.site(workers=1, preload=False)
    start(daemon, manager, WATCHDOG_USEC="400000")
    daemon.wait_ready()
    daemon.write("app.py", "import no_such_module")
    daemon.send(signal.SIGKILL, daemon.workers()[0])
    told = manager.hear_until(is_status("nothing runs for "))
    assert told["STATUS"].startswith("down, 0 of 1 workers, generation 1, ")
    assert "no_such_module" in told["STATUS"]
    for _ in range(10):
        manager.hear_until(lambda message: "WATCHDOG" in message)
    daemon.write("app.py", APP)
    manager.hear_until(is_status("1 of 1 workers"))


def test_the_sockets_are_kept_over_a_restart(daemon, manager):
    daemon.write("app.py", APP)
    daemon.site(workers=1)
    start(daemon, manager)
    manager.hear_until(lambda message: "FDSTORE" in message)
    ((name, fd),) = manager.stored.items()
    kept = socket.socket(fileno=os.dup(fd))
    assert name.isascii()
    assert ":" not in name
    assert daemon.stop() == 0
    with socket.create_connection(kept.getsockname(), timeout=DEADLINE) as waiting:
        waiting.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        spawn_with(daemon, [(name, kept)])
        assert waiting.recv(4096).startswith(b"HTTP/1.1 200 ")
    kept.close()


@pytest.mark.parametrize(("before", "after"), [("127.0.0.1", "0.0.0.0"), ("0.0.0.0", "127.0.0.1")])
def test_a_stored_socket_is_not_in_the_way_of_a_wider_or_narrower_address(daemon, manager, before, after):
    """The manager still holds it when the new one is bound."""
    daemon.write("app.py", APP)
    daemon.site(workers=1, bind=f"{before}:0")
    start(daemon, manager)
    manager.hear_until(lambda message: "FDSTORE" in message)
    ((name, fd),) = manager.stored.items()
    with socket.socket(fileno=os.dup(fd)) as kept:
        port = kept.getsockname()[1]
        assert daemon.stop() == 0
        daemon.site(workers=1, bind=f"{after}:{port}")
        spawn_with(daemon, [(name, kept)], NOTIFY_SOCKET=manager.path)
        manager.hear_until(lambda message: "FDSTOREREMOVE" in message)
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_a_socket_that_is_not_wanted_any_more_leaves_the_store(daemon, manager):
    daemon.write("app.py", APP)
    daemon.site(workers=1, bind=["127.0.0.1:0", f"unix:{daemon.folder}/app.sock"])
    start(daemon, manager)
    wait_for(lambda: manager.hear() and len(manager.stored) == 2)
    daemon.site(workers=1)
    daemon.send(signal.SIGHUP)
    manager.hear_until(lambda message: "FDSTOREREMOVE" in message)
    assert len(manager.stored) == 1


def spawn_with(daemon, sockets, **env):
    """Start it as systemd does: the sockets from descriptor 3 on, named in the environment."""
    names = ":".join(name for name, _ in sockets)
    fds = [sock.fileno() for _, sock in sockets]
    program = (
        "import os, sys\n"
        f"kept = [os.dup(fd) for fd in {fds}]\n"
        f"for fd in {fds}: os.close(fd)\n"
        "for number, fd in enumerate(kept, 3):\n"
        "    os.dup2(fd, number)\n"
        "    os.set_inheritable(number, True)\n"
        f"os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='{len(fds)}', LISTEN_FDNAMES='{names}')\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'superwsgi', '-c', 'site.yaml'])\n"
    )
    daemon.spawn([sys.executable, "-c", program], env=env, pass_fds=fds)


def listening():
    sock = socket.create_server(("127.0.0.1", 0))
    return sock, sock.getsockname()


def ask(address):
    with socket.create_connection(address, timeout=DEADLINE) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(4096), b""))


def test_socket_activation_by_name(daemon):
    web, web_address = listening()
    other, other_address = listening()
    daemon.write("app.py", APP)
    daemon.site(workers=1, bind="systemd:web")
    with web, other:
        spawn_with(daemon, [("other", other), ("web", web)])
        assert ask(web_address).startswith(b"HTTP/1.1 200 ")
        assert f"listening address=http://127.0.0.1:{web_address[1]}" in daemon.log
        assert str(other_address[1]) not in daemon.log


def test_an_activated_socket_outlives_reloads(daemon):
    web, address = listening()
    daemon.write("app.py", APP)
    daemon.site(workers=1, bind=["systemd", "127.0.0.1:0"])
    with web:
        spawn_with(daemon, [("web", web)])
        for bind in ("127.0.0.1:0", "systemd"):
            daemon.site(workers=1, bind=bind)
            daemon.reload()
        assert ask(address).startswith(b"HTTP/1.1 200 ")


def test_without_activation_the_error_says_what_to_do(daemon):
    daemon.write("app.py", APP)
    daemon.site(workers=1, bind="systemd")
    daemon.start(ready=False)
    assert daemon.wait_exit() == 4
    assert (
        "cannot bind systemd: systemd has passed no socket: start the site by its socket unit" in daemon.log
    )


def test_with_systemds_own_activation_tool(daemon):
    tool = needed("systemd-socket-activate")
    probe, address = listening()
    probe.close()
    daemon.write("app.py", APP)
    daemon.site(workers=1, bind="systemd")
    listen = ["-l", f"127.0.0.1:{address[1]}", "-E", "PYTHONPATH"]  # it keeps little of the environment
    daemon.spawn([tool, *listen, *COMMAND, "-c", "site.yaml"], ready=False)
    wait_for(lambda: "Listening on" in daemon.log, context=lambda: daemon.log)
    assert ask(address).startswith(b"HTTP/1.1 200 ")


@pytest.fixture
def units(tmp_path):
    """The units that come with superwsgi; their command does not have to be installed here."""
    for unit in (Path(__file__).parents[2] / "systemd").iterdir():
        text = unit.read_text().replace("/usr/local/bin/superwsgi", "/bin/true")
        (tmp_path / unit.name).write_text(text)
    return tmp_path


def analyze(*arguments):
    command = [needed("systemd-analyze"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_systemd_finds_nothing_wrong_with_the_units(units):
    done = analyze("verify", *(units / f"superwsgi@shop.{kind}" for kind in ("service", "socket")))
    assert (done.returncode, done.stderr) == (0, "")


def test_the_service_is_exposed_to_little(units):
    done = analyze("security", "--offline=true", units / "superwsgi@.service")
    exposure = re.search(r"Overall exposure level for .*: ([0-9.]+)", done.stdout)
    assert exposure, done.stderr
    assert float(exposure[1]) <= 2.0
