"""What `superwsgi init` writes for others, tried by them: nginx and HAProxy serve through it, logrotate
rotates its logs.
"""

import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.daemon import saying, wait_for
from tests.e2e.fronts import HAProxy, Nginx
from tests.e2e.wire import Wire
from tests.tools import needed

TRUSTED = "health: {ready: /readyz}\nproxy: {trusted: [127.0.0.1/32, unix]}\n"


def made(daemon, kind):
    done = daemon.command("init", "--for", kind, "site.yaml")
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def served(daemon):
    """Starts a site that is bound there; one that lets a proxy name its clients."""
    daemon.write("app.py", saying("hello"))

    def start(bind):
        daemon.site(TRUSTED, bind=bind, workers=1)
        daemon.start()
        if bind.startswith("127."):  # the port is known only now
            host, port = daemon.address
            daemon.site(TRUSTED, bind=f"{host}:{port}", workers=1)
        return daemon

    return start


def answers(front):
    with Wire(front.connect()) as wire:
        assert wire.ask().body == b"hello"


@pytest.mark.parametrize("bind", ["unix:web.sock", pytest.param("127.0.0.1:0", marks=pytest.mark.drill)])
def test_nginx_serves_the_site(served, tmp_path, bind):
    site = served(bind)
    front = Nginx(tmp_path, "80")
    text = made(site, "nginx").replace("/var/log/nginx/site.log", f"{tmp_path}/front.log")
    try:
        front.start_with(text)
        answers(front)
        checked = [front.path, "-t", "-p", tmp_path, "-e", "stderr", "-c", tmp_path / "main.conf"]
        said = subprocess.run(checked, capture_output=True, text=True, env={**os.environ, "NGINX": ""})
        assert "test is successful" in said.stderr
    finally:
        front.clean_up()


@pytest.mark.parametrize("bind", ["127.0.0.1:0", pytest.param("unix:web.sock", marks=pytest.mark.drill)])
def test_haproxy_serves_the_site(served, tmp_path, bind):
    site = served(bind)
    front = HAProxy(tmp_path, "80")
    text = made(site, "haproxy")
    whole = site.write("whole.cfg", f"global\n    maxconn 100\n\n{text}")
    checked = subprocess.run([front.path, "-c", "-f", whole], capture_output=True, text=True)
    assert checked.returncode == 0, checked.stderr
    try:
        front.start_with(text)
        answers(front)
    finally:
        front.clean_up()


def test_logrotate_rotates_the_logs(daemon, tmp_path):
    program = needed("logrotate")
    daemon.write("app.py", saying("hello"))
    logs = tmp_path / "log with a blank"
    logs.mkdir()
    daemon.site(workers=1, log={"access": f"{logs}/access.log", "error": "-"})
    daemon.start()
    daemon.get("/")
    access = Path(logs, "access.log")
    wait_for(lambda: access.stat().st_size)
    config = daemon.write("rotate", "")
    config.write_text(made(daemon, "logrotate"))
    config.chmod(0o644)
    command = [program, "--state", tmp_path / "state", config]
    asked = subprocess.run([*command[:-1], "-d", config], capture_output=True, text=True)
    assert asked.returncode == 0, asked.stderr
    assert "error" not in asked.stderr.replace("error.log", "")
    done = subprocess.run([*command, "--force"], capture_output=True, text=True, env=daemon.environ)
    assert done.returncode == 0, done.stderr
    wait_for(lambda: access.exists() and not access.stat().st_size, "new log")
    daemon.get("/")
    wait_for(lambda: access.stat().st_size)
    assert Path(logs, "access.log.1").stat().st_size
