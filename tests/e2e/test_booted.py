"""The units that `superwsgi unit` writes, in a real systemd: it starts, reloads and stops the sites."""

import re

import pytest

from tests.e2e.booted import FRAMEWORKS, BootedMachine
from tests.e2e.daemon import wait_for

pytestmark = pytest.mark.drill

SHOP = "/home/visitor/shop"
SITE = """
name: shop
app: app:app
workers: 2
health: {live: /livez, ready: /readyz}
rollout: {confirm: 200ms}
"""
APP = """
    import os, pathlib

    def app(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
        what = {
            "/who": lambda: f"{os.getuid()} {os.environ['HOME']}",
            "/write": lambda: open("database", "a").write("x") and "written",
            "/homes": lambda: " ".join(sorted(os.listdir("/home"))),
            "/keys": lambda: str(os.access("/home/visitor/.ssh", os.R_OK)),
            "/environ": lambda: os.environ.get("SAID", ""),
        }
        return [what.get(environ["PATH_INFO"], lambda: VERSION)().encode()]

    VERSION = "one"
"""


@pytest.fixture(scope="module")
def machine():
    machine = BootedMachine()
    try:
        machine.boot()
        yield machine
    finally:
        machine.clean_up()


@pytest.fixture(scope="module")
def command(machine):
    """The superwsgi of the visitor's project, from its virtual environment."""
    return machine.environment(f"{SHOP}/.venv")


@pytest.fixture
def shop(machine, command):
    machine.write(f"{SHOP}/app.py", APP)
    machine.write(f"{SHOP}/site.yaml", SITE)
    yield machine
    machine.run(
        "systemctl", "disable", "--now", "superwsgi-shop.service", "superwsgi-shop.socket", check=False
    )
    machine.run("sh", "-c", "rm -f /etc/systemd/system/superwsgi-* /etc/tmpfiles.d/superwsgi-*")
    machine.run("systemctl", "daemon-reload")


def install(machine, command, *options, check=True):
    return machine.run(command, "unit", "-c", f"{SHOP}/site.yaml", "--install", *options, check=check)


def systemctl(machine, verb, unit="superwsgi-shop", check=True):
    return machine.run("systemctl", verb, unit, check=check)


def page(machine, path="/", port=8000):
    status, body = machine.get(f"http://127.0.0.1:{port}{path}")
    assert status == 200
    return body


def journal(machine, unit="superwsgi-shop"):
    return machine.run("journalctl", "-u", unit, "--no-pager", "-o", "cat").stdout


def test_a_users_site_from_below_home(shop, command):
    """Started, reloaded and stopped, with what happened in the journal."""
    refused = shop.run(command, "unit", "--install", user="visitor", cwd=SHOP, check=False)
    assert refused.returncode == 2
    (line,) = re.findall(r"only root can write to /etc/systemd/system: sudo (.+)", refused.stderr)
    done = shop.run(*line.split())
    assert "/etc/systemd/system/superwsgi-shop.service: written" in done.stdout
    (start,) = re.findall(r"now and with the machine: sudo (.+)", done.stdout)
    shop.run(*start.split())
    assert shop.run(command, "status", "shop").stdout.startswith("shop: healthy")
    assert shop.run(command, "status", user="visitor").stdout.startswith("shop: healthy")
    assert page(shop) == "one"
    assert page(shop, "/readyz").strip() == "ok"

    shop.write(f"{SHOP}/app.py", APP.replace('"one"', '"two"'))
    systemctl(shop, "reload")
    assert page(shop) == "two"

    shop.write(f"{SHOP}/app.py", "import no_such_module\n")
    assert systemctl(shop, "reload", check=False).returncode != 0
    assert "No module named 'no_such_module'" in journal(shop)
    assert page(shop) == "two", "the old code goes on"
    assert "reload failed" in systemctl(shop, "status").stdout

    systemctl(shop, "stop")
    assert systemctl(shop, "is-active", check=False).stdout.strip() == "inactive"
    said = journal(shop)
    assert "stopped exit_code=0" in said
    assert '"GET / HTTP/1.1" 200 3' in said


def test_it_is_that_user_and_sees_nobody_else(shop, command):
    shop.run("mkdir", "-p", "/home/visitor/.ssh", user="visitor")
    install(shop, command, "--now")
    uid = shop.run("id", "-u", "visitor").stdout.strip()
    assert page(shop, "/who") == f"{uid} /home/visitor"
    assert page(shop, "/homes") == "visitor"
    assert page(shop, "/keys") == "False"
    assert page(shop, "/write") == "written"
    assert shop.path(f"{SHOP}/database").read_text() == "x"


def test_a_second_installation_changes_nothing_and_a_third_shows_what_it_changes(shop, command):
    install(shop, command, "--now")
    assert "superwsgi-shop.service: as it was" in install(shop, command).stdout
    shop.write(f"{SHOP}/site.yaml", SITE.replace("name: shop", "name: shop\nbind: 127.0.0.1:80"))
    done = install(shop, command)
    assert "+CapabilityBoundingSet=CAP_NET_BIND_SERVICE" in done.stdout
    (restart,) = re.findall(r"it runs as it was until: sudo (.+)", done.stdout)
    shop.run(*restart.split())
    assert page(shop, port=80) == "one"


def test_what_was_changed_before_is_taken_up_by_now(shop, command):
    """Not only what this very call changes."""
    install(shop, command, "--now")
    assert "superwsgi-shop.service runs by that already" in install(shop, command).stdout
    shop.write(f"{SHOP}/site.yaml", f"{SITE}limits: {{connections: 40000}}\n")
    install(shop, command)
    assert "it runs as it was until" in install(shop, command).stdout
    install(shop, command, "--now")
    assert "runs by that already" in install(shop, command).stdout


def test_a_site_that_is_renamed_does_not_run_twice(shop, command):
    install(shop, command, "--now")
    shop.write(f"{SHOP}/site.yaml", SITE.replace("name: shop", "name: store"))
    done = install(shop, command, "--now", check=False)
    assert done.returncode == 2
    (line,) = re.findall(r"Take that out first: (.+)", done.stderr)
    shop.run("sh", "-c", f'sudo() {{ "$@"; }}; {line}')
    assert "superwsgi-store.service runs: healthy" in install(shop, command, "--now").stdout
    assert page(shop) == "one"
    shop.run("systemctl", "disable", "--now", "superwsgi-store.service")


def test_a_site_that_cannot_even_listen_says_why(shop, command):
    """It has no words for systemd yet."""
    shop.write(f"{SHOP}/site.yaml", f"{SITE}bind: 192.0.2.1:80\n")
    done = install(shop, command, "--now", check=False)
    assert done.returncode == 1
    assert "cannot bind 192.0.2.1:80" in done.stdout


def test_files_of_somebody_else_are_left_alone(shop, command):
    shop.path("/etc/systemd/system/superwsgi-shop.service").write_text("[Unit]\nDescription=mine\n")
    done = install(shop, command, check=False)
    assert done.returncode == 2
    assert "superwsgi-shop.service is there, and was not written for this site file" in done.stderr
    install(shop, command, "--force")
    shop.write(f"{SHOP}/conf/site.yaml", f"{SITE}chdir: ..\n")
    other = shop.run(command, "unit", f"{SHOP}/conf/site.yaml", "--install", check=False)
    assert f"was not written for this site file, but for {SHOP}/site.yaml: give the site" in other.stderr


def test_systemd_binds_the_port(shop, command):
    """And starts the site with the first connection."""
    shop.write(f"{SHOP}/site.yaml", SITE.replace("name: shop", "name: shop\nbind: systemd"))
    install(shop, command, "--listen", "127.0.0.1:81")
    shop.run("systemctl", "enable", "--now", "superwsgi-shop.socket")
    assert page(shop, port=81) == "one"
    install(shop, command, "--listen", "127.0.0.1:82", "--now")
    assert page(shop, port=82) == "one"
    shop.write(f"{SHOP}/site.yaml", SITE)
    done = install(shop, command, check=False)
    assert done.returncode == 2
    assert "sudo systemctl disable --now superwsgi-shop.socket && sudo rm" in done.stderr


def test_a_new_release_through_a_link(shop, command):
    """What is mounted for the site is the folder above. It may write to the next one, too, where the folder
    of its log is made for it."""
    for number in ("1", "2"):
        shop.write(f"{SHOP}-releases/{number}/app.py", APP.replace('"one"', f'"release {number}"'))
        shop.write(f"{SHOP}-releases/{number}/site.yaml", f"{SITE}log: {{access: log/access.log}}\n")
    shop.run("ln", "-sfn", "1", f"{SHOP}-releases/current", user="visitor")
    file = f"{SHOP}-releases/current/site.yaml"
    shop.run(command, "unit", "-c", file, "--install", "--now")
    assert page(shop) == "release 1"
    shop.run("ln", "-sfn", "2", f"{SHOP}-releases/current", user="visitor")
    systemctl(shop, "reload")
    assert page(shop) == "release 2"
    assert page(shop, "/write") == "written"
    log = shop.path(f"{SHOP}-releases/2/log/access.log")
    wait_for(lambda: "GET /write" in log.read_text(), "line in the log of the new release")


def test_variables_and_memory(shop, command):
    text = SITE + "env: {SAID: '${SAID:-nothing}'}\nmemory: {hard: 200M}\n"
    shop.write(f"{SHOP}/site.yaml", text)
    shop.path("/etc/default/superwsgi-shop").write_text("SAID=a word\n")
    install(shop, command, "--now")
    assert page(shop, "/environ") == "a word"
    limit = shop.run("systemctl", "show", "--value", "-p", "MemoryMax", "superwsgi-shop").stdout
    assert int(limit) == (200 * 6 + 256) << 20


def test_folders_outside_of_the_project_are_made(shop, command):
    """Also those of /run, after the machine has started anew."""
    sockets = "pidfile: /run/shop/pid\ncontrol: /run/shop/s.sock\n"
    shop.write(f"{SHOP}/site.yaml", f"{SITE}log: {{access: /var/log/shop/access.log}}\n{sockets}")
    done = install(shop, command, "--now")
    assert "/etc/tmpfiles.d/superwsgi-shop.conf: written" in done.stdout
    assert page(shop) == "one"
    log = shop.path("/var/log/shop/access.log")
    wait_for(lambda: '"GET / HTTP/1.1" 200' in log.read_text(), "line in the log")
    assert shop.run("stat", "-c", "%U", "/run/shop/pid").stdout.strip() == "visitor"
    assert install(shop, command).stdout.count("as it was") == 2
    for user in (None, "visitor"):
        checked = shop.run(command, "check", f"{SHOP}/site.yaml", user=user)
        assert "it runs already" in checked.stdout, "whoever looks, and wherever its sockets are"


def test_a_master_that_is_killed_is_started_again(shop, command):
    install(shop, command, "--now")
    shop.run("systemctl", "kill", "--kill-whom=main", "-s", "KILL", "superwsgi-shop")
    wait_for(lambda: "Scheduled restart job" in journal(shop), "restart", context=lambda: journal(shop))
    assert page(shop) == "one", "its socket was kept: nobody is refused"


def test_a_site_that_does_not_start_says_why(shop, command):
    shop.write(f"{SHOP}/app.py", "import no_such_module\n")
    done = install(shop, command, "--now", check=False)
    assert done.returncode == 1
    assert "superwsgi-shop.service does not start: did not start: " in done.stderr
    assert "no_such_module" in done.stderr


def test_root_starts_a_site_for_somebody_else(shop, command):
    """As for keys that only root may read. It gives sockets, pipes and logs to that user, and signals its
    workers, with what the unit leaves to root."""
    shop.run("mkdir", "-p", f"{SHOP}/run", "-m", "0700", user="visitor")
    bind = "[127.0.0.1:8000, 'unix:run/shop.sock']"
    log = "{capture: on, access: run/access.log, error: stderr}"
    companion = "companions: {beside: {command: sleep 1000}}"
    shop.write(f"{SHOP}/site.yaml", f"{SITE}user: visitor\nbind: {bind}\nlog: {log}\n{companion}\n")
    install(shop, command, "--user", "root", "--now")
    uid = shop.run("id", "-u", "visitor").stdout.strip()
    assert page(shop, "/who") == f"{uid} /home/visitor"
    master = shop.run("systemctl", "show", "--value", "-p", "MainPID", "superwsgi-shop").stdout.strip()
    assert shop.run("stat", "-c", "%U", f"/proc/{master}").stdout.strip() == "root"
    assert shop.run("stat", "-c", "%U", f"{SHOP}/run/shop.sock").stdout.strip() == "visitor"
    for act in ("reload", "recycle", "kill", "upgrade"):
        what = ("1",) if act == "kill" else ()
        waits = () if act == "kill" else ("--wait",)
        done = shop.run(command, act, "shop", *what, *waits)
        assert page(shop, "/write") == "written", done.stdout
    systemctl(shop, "reload")
    assert "GET /write" in shop.path(f"{SHOP}/run/access.log").read_text()
    systemctl(shop, "stop")
    said = journal(shop)
    assert "stopped exit_code=0" in said
    assert "not permitted" not in said


ODD = "/home/visitor/öd 100% $HOME ${x} \"q\" 'p' \\n #; a:b"


def test_a_path_with_everything_in_it(shop, command):
    """The folder above the project is mounted for it, as all that it sees of homes."""
    folder = f"{ODD}/shop"
    shop.write(f"{folder}/app.py", APP)
    shop.write(f"{folder}/site.yaml", SITE)
    shop.run(command, "unit", "-c", f"{folder}/site.yaml", "--install", "--now")
    assert page(shop, "/write") == "written"
    assert shop.path(f"{folder}/database").read_text() == "x"
    systemctl(shop, "reload")


@pytest.fixture(scope="module")
def roots(machine):
    """A project of root's, below /srv, with an environment of its own."""
    its = machine.environment("/srv/blog/.venv", user="root")
    machine.write("/srv/blog/app.py", APP, "root")
    yield its
    machine.run("systemctl", "disable", "--now", "superwsgi-blog.service", check=False)


def test_a_project_of_roots_runs_as_nobody_in_particular(machine, roots):
    text = (
        SITE.replace("shop", "blog")
        + "bind: 127.0.0.1:82\nlog: {access: /var/log/superwsgi/blog/access.log}\n"
    )
    machine.write("/srv/blog/site.yaml", text, "root")
    done = machine.run(roots, "unit", "--install", "--now", cwd="/srv/blog")
    assert "superwsgi-blog.service runs: healthy" in done.stdout, done.stderr
    uid, home = page(machine, "/who", 82).split()
    assert int(uid) >= 61184, "DynamicUser=, systemd.exec(5)"
    assert home == "/var/lib/superwsgi/blog"
    log = machine.path("/var/log/private/superwsgi/blog/access.log")
    wait_for(lambda: "GET /who" in log.read_text(), "line in the log")


FLASK = """
    from flask import Flask

    app = Flask(__name__)

    @app.get("/")
    def hello():
        return "Flask"
"""


@pytest.fixture(scope="module")
def site_of(machine):
    """Makes an empty project of the visitor's, with both frameworks; returns its folder and its superwsgi."""

    def make(name):
        folder = f"/home/visitor/{name}"
        return folder, machine.environment(f"{folder}/.venv", FRAMEWORKS)

    return make


def in_production(machine, folder, superwsgi):
    """From the folder to a site under systemd, by three commands and no line written by hand."""
    name = folder.rpartition("/")[2]
    machine.run(superwsgi, "init", user="visitor", cwd=folder)
    machine.run(superwsgi, "check", "-c", "site.yaml", user="visitor", cwd=folder)
    done = machine.run(superwsgi, "unit", "--install", "--now", cwd=folder)
    assert f"superwsgi-{name}.service runs: healthy" in done.stdout, done.stdout
    assert page(machine, "/readyz").strip() == "ok"
    return f"superwsgi-{name}"


def test_flask_in_three_commands(machine, site_of):
    folder, superwsgi = site_of("orders")
    machine.write(f"{folder}/app.py", FLASK)
    unit = in_production(machine, folder, superwsgi)
    assert page(machine) == "Flask"
    machine.write(f"{folder}/app.py", FLASK.replace('"Flask"', '"newer"'))
    systemctl(machine, "reload", unit)
    assert page(machine) == "newer"
    systemctl(machine, "stop", unit)


def test_django_in_three_commands(machine, site_of):
    """With the database that startproject sets up, in the project's folder."""
    folder, superwsgi = site_of("books")
    python = f"{folder}/.venv/bin/python"
    machine.run(python, "-m", "django", "startproject", "books", folder, user="visitor")
    machine.run(python, "manage.py", "migrate", user="visitor", cwd=folder)
    views = """
        from django.contrib.auth.models import Group
        from django.http import HttpResponse
        from django.urls import path

        def count(request):
            Group.objects.create(name=str(Group.objects.count()))
            return HttpResponse(f"{Group.objects.count()} groups")

        urlpatterns = [path("", count)]
    """
    machine.write(f"{folder}/books/urls.py", views)
    unit = in_production(machine, folder, superwsgi)
    assert page(machine) == "1 groups"
    assert page(machine) == "2 groups"
    systemctl(machine, "reload", unit)
    assert page(machine) == "3 groups"
    systemctl(machine, "stop", unit)


def test_a_trial_of_roots_in_tmp(machine, roots):
    machine.write("/tmp/trial/app.py", APP, "root")
    machine.write("/tmp/trial/site.yaml", SITE.replace("shop", "trial"), "root")
    done = machine.run(roots, "unit", "--install", "--now", cwd="/tmp/trial")
    assert "superwsgi-trial.service runs: healthy" in done.stdout, done.stderr
    assert page(machine) == "one"
    systemctl(machine, "stop", "superwsgi-trial")
