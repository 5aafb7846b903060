"""`superwsgi dev`: what changes is served, what is broken is shown, and nothing is left."""

import re
import signal
import socket
import subprocess
import sys

import psutil
import pytest

from tests.e2e.daemon import wait_for
from tests.e2e.development import hello

BROKEN = {
    "syntax": ("def app(:\n", "app.py, line 1"),
    "import": ("import nothing_like_it\n", "No module named 'nothing_like_it'"),
    "name": ("app = undefined\n", "name 'undefined' is not defined"),
    "exit": ("import sys\nsys.exit('no')\n", "ends the process when it is imported"),
    "no application": ("nothing = 1\n", "has no attribute 'app'"),
    "hard exit": ("import os\nos._exit(7)\n", "was ended before Python could say why"),
}
"""Modules that do not load, and what is said of them."""


def test_what_is_saved_is_served_and_what_is_broken_is_shown(dev):
    """The whole of it once; one by one and more of it in the drills."""
    dev.write("app.py", hello("one"))
    dev.start()
    assert "app.py defines app" in dev.log
    assert dev.get("/prints?a=1").text == "one"
    dev.wait_log(r"\d\d:\d\d:\d\d GET  /prints\?a=1  200  \d+\.?\d* ms\n")
    assert dev.log.index("said by the application\n") < dev.log.index("/prints?a=1")
    for number, kind in enumerate(("syntax", "hard exit")):
        dev.assert_shows(*BROKEN[kind])
        assert "one" in dev.get().text
        dev.edit("app.py", hello(f"one and {number}"))
        dev.wait_served(f"one and {number}")
        assert dev.page().status == 200
    assert "\x1b" not in dev.log
    dev.assert_ends(signal.SIGINT, "/sleeps")


def test_the_first_code_may_be_broken(dev):
    dev.write("app.py", "import nothing_like_it\n")
    dev.write(".env", "LACKING=1\n")
    dev.start("app:app")
    assert ".env is not read: for that, --env-file .env" in dev.log
    assert "No module named &#x27;nothing_like_it&#x27;" in dev.page().text
    answer = dev.get()
    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    dev.edit("app.py", hello("two"))
    dev.wait_served("two")


def test_an_address_in_use(dev):
    dev.write("app.py", hello("one"))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        dev.start("-b", f"127.0.0.1:{port}", ready=False)
        assert dev.wait_exit() == 4
    assert f"127.0.0.1:{port} is in use by" in dev.log
    assert f"pid {psutil.Process().pid}" in dev.log


def test_a_site_that_is_served_has_nothing_of_it(daemon):
    daemon.write(
        "app.py",
        """
        import sys
        def app(environ, start_response):
            start_response("200 OK", [])
            return ["\\n".join(sys.modules).encode()]
        """,
    )
    daemon.site()
    daemon.start()
    assert not [name for name in daemon.get("/").text.split() if name.startswith("superwsgi.development")]
    modules = imported_by("superwsgi.cli.site.dev")
    for not_wanted in ("development", "checking", "master.master"):
        assert f"superwsgi.{not_wanted}" not in modules


def test_a_command_that_asks_a_master_has_nothing_of_what_starts_one():
    modules = imported_by("superwsgi.cli.main", "superwsgi.cli.server.status", "superwsgi.cli.acting.reload")
    for not_wanted in ("config.loading", "cli.site", "checking", "deployment", "master.master"):
        assert f"superwsgi.{not_wanted}" not in modules


def imported_by(*modules):
    program = f"import sys, {', '.join(modules)}; print([*sys.modules])"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout


@pytest.fixture(params=BROKEN)
def broken(request):
    return BROKEN[request.param]


@pytest.mark.drill
class TestReload:
    def test_what_is_saved_is_served(self, dev):
        dev.write("app.py", hello("one"))
        dev.start("app:app")
        assert dev.get().text == "one"
        dev.edit("app.py", hello("two"))
        dev.wait_served("two")
        dev.wait_log(r"reloaded in \d\.\d\d s: app\.py")

    def test_quick_edits_of_the_same_size_end_with_the_last(self, dev):
        """Python would take the bytecode of the one before: size and whole seconds are the same."""
        dev.write("app.py", hello("0000"))
        dev.start("app:app")
        for number in range(1, 9):
            dev.edit("app.py", hello(f"{number:04}"))
            dev.get()
        dev.wait_served("0008")

    def test_a_save_by_rename(self, dev):
        dev.write("app.py", hello("one"))
        dev.start("app:app")
        dev.write("app.py.new", hello("two")).rename(dev.folder / "app.py")
        dev.wait_served("two")

    def test_a_module_that_is_added_and_one_that_is_deleted(self, dev):
        dev.write("app.py", hello("one"))
        dev.write("shop/__init__.py", "")
        dev.start("app:app")
        dev.write("shop/texts.py", "TEXT = b'from the shop'")
        dev.edit(
            "app.py",
            hello(
                "one",
                "from shop.texts import TEXT\napp = lambda e, s: s('200 OK', []) and [TEXT] or [TEXT]\n",
            ),
        )
        dev.wait_served("from the shop")
        (dev.folder / "shop/texts.py").unlink()
        dev.wait_log("No module named 'shop.texts'")
        assert dev.get().text == "from the shop"

    def test_many_files_at_once_are_one_reload(self, dev):
        dev.write("app.py", hello("one"))
        for number in range(300):
            dev.write(f"many/m{number}.py", "")
        dev.start("app:app")
        for number in range(300):
            dev.write(f"many/m{number}.py", "x = 1\n")
        dev.edit("app.py", hello("two"))
        dev.wait_served("two")
        assert len(re.findall("reloaded in", dev.log)) == 1

    def test_what_nobody_means_is_not_loaded(self, dev):
        dev.write("app.py", hello("one"))
        dev.write("env/pyvenv.cfg", "")
        dev.start("app:app")
        for name in (
            ".git/x.py",
            "node_modules/x.py",
            "env/lib/x.py",
            ".#app.py",
            "notes.txt",
            "__pycache__/x.py",
        ):
            dev.write(name, "")
        dev.edit("app.py", hello("two"))
        dev.wait_served("two")
        assert re.findall("reloaded in .*: (.*)", dev.log) == ["app.py"]

    def test_other_files_that_are_named(self, dev):
        dev.write(
            "app.py",
            hello("one") + "import pathlib\nTEXT = pathlib.Path('a/b/page.html').read_bytes()\n"
            "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [TEXT]\n",
        )
        dev.write("a/b/page.html", "first")
        dev.write("data/names.txt", "")
        dev.start("app:app", "--watch", "a/**/*.html", "--watch", "data")
        mark = dev.edit("a/b/page.html", "second")
        dev.wait_served("second")
        dev.wait_log("reloaded in .*: page.html", mark)
        dev.edit("data/names.txt", "x")
        dev.wait_log("reloaded in .*: names.txt")

    def test_an_import_that_writes_into_the_project_is_no_endless_reload(self, dev):
        writes = "open('written.py', 'w').write('x = 1')\n"
        dev.write("app.py", hello("one", writes))
        dev.start("app:app")
        dev.edit("app.py", hello("two", writes))
        dev.wait_served("two")
        for number in range(3, 6):
            dev.edit("app.py", hello(str(number), writes))
            dev.wait_served(str(number))
        assert len(re.findall("reloaded in", dev.log)) <= 8


@pytest.mark.drill
class TestBroken:
    def test_the_old_code_goes_on_and_the_new_is_shown(self, dev, broken):
        dev.write("app.py", hello("one"))
        dev.start("app:app")
        dev.assert_shows(*broken)
        assert dev.get().text == "one"
        assert dev.get(headers={"Accept": "text/html", "Sec-Fetch-Mode": "cors"}).text == "one"
        dev.edit("app.py", hello("two"))
        dev.wait_served("two")
        assert dev.page().text == "two"

    def test_the_first_code_may_be_broken(self, dev, broken):
        code, said = broken
        dev.write("app.py", code)
        dev.start("app:app")
        dev.wait_log("Pages show this until it is mended")
        shown = wait_for(lambda: page if (page := dev.page()).status == 500 else None)
        assert said.replace("'", "&#x27;") in shown.text
        answer = dev.get()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        dev.edit("app.py", hello("two"))
        dev.wait_served("two")
        assert dev.page().text == "two"

    def test_an_import_that_hangs_gives_way_to_what_is_saved_next(self, dev):
        dev.write("app.py", "import time\ntime.sleep(600)\n")
        dev.start("app:app", ready=False)
        wait_for(lambda: len(dev.everybody()) > 2)
        dev.edit("app.py", hello("one"))
        dev.wait_ready()
        dev.wait_served("one")
        dev.edit("app.py", "import time\ntime.sleep(600)\n")
        dev.get()
        dev.edit("app.py", hello("three"))
        dev.wait_served("three")

    def test_a_page_that_shows_it_knows_when_it_is_mended(self, dev):
        dev.write("app.py", hello("one"))
        dev.start("app:app")
        mark = dev.edit("app.py", "x(\n")
        dev.wait_log("goes on serving", mark)
        state = "/.superwsgi-dev/state"
        wait_for(lambda: dev.page().status == 500)
        assert state in dev.page().text
        assert dev.get(state).text in dev.page().text
        dev.edit("app.py", hello("two"))
        wait_for(lambda: dev.get(state).text == "")
        assert state not in dev.log


@pytest.mark.drill
class TestTerminal:
    def test_an_exception_is_shown_once_and_without_the_server(self, dev):
        dev.write("app.py", hello("one"))
        dev.start("app:app")
        assert dev.get("/fails").status == 500
        dev.wait_log("GET  /fails  500")
        assert dev.log.count("Traceback") == 1
        assert f'File "{dev.folder}/app.py", line 6, in app' in dev.log
        assert "superwsgi/" not in dev.log


@pytest.mark.drill
class TestEnd:
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
    @pytest.mark.parametrize("path", ["/sleeps", "/stream"])
    def test_nothing_is_left(self, dev, number, path):
        dev.write("app.py", hello("one"))
        dev.start("app:app")
        dev.assert_ends(number, path)

    def test_hup_reloads(self, dev):
        dev.write("app.py", hello("one"))
        dev.start("app:app")
        dev.send(signal.SIGHUP)
        dev.wait_log("reloaded in .*: as asked")


FLASK = """
from flask import Flask, render_template_string
app = Flask(__name__)

@app.route("/")
def index():
    return render_template_string("{text}, {{{{ config.DEBUG }}}}")

@app.route("/fails")
def fails():
    return 1 / 0
"""


@pytest.mark.drill
class TestFrameworks:
    def test_flask_with_the_debugger_of_werkzeug(self, dev):
        dev.write("app.py", FLASK.format(text="one"))
        dev.start()
        assert "app.py defines app" in dev.log
        assert dev.get().text == "one, True"
        shown = dev.page("/fails")
        assert shown.status == 500
        assert "Werkzeug" in shown.text
        assert "EVALEX = true" in shown.text
        pin = dev.wait_log(r"Debugger in the browser: pin (\d{3}-\d{3}-\d{3})")[1]
        assert dev.log.count("Traceback") == 1
        secret = re.search(r'SECRET = "(\w+)"', shown.text)[1]
        answer = dev.get(f"/?__debugger__=yes&cmd=pinauth&pin={pin}&s={secret}").json()
        assert answer == {"auth": True, "exhausted": False}
        assert dev.get("/?__debugger__=yes&cmd=resource&f=debugger.js").status == 200
        elsewhere = {"Host": "evil.example"}
        assert (
            dev.get(f"/?__debugger__=yes&cmd=pinauth&pin={pin}&s={secret}", headers=elsewhere).status == 400
        )

    def test_no_debugger_where_other_machines_can_ask(self, dev):
        dev.write("app.py", FLASK.format(text="one"))
        dev.start("-b", "0.0.0.0:0")
        assert "debugger     off" in dev.log
        shown = dev.page("/fails")
        assert shown.status == 500
        assert "ZeroDivisionError" not in shown.text
        assert "ZeroDivisionError: division by zero" in dev.log

    def test_django_with_static_files_and_its_own_page_for_errors(self, dev):
        command = [sys.executable, "-m", "django", "startproject", "shop", "."]
        subprocess.run(command, cwd=dev.folder, check=True)
        dev.write("pages/page.html", "first")
        dev.write("shop/static/style.css", "body { color: red }")
        with (dev.folder / "shop/settings.py").open("a") as settings:
            settings.write("INSTALLED_APPS += ['shop']\nTEMPLATES[0]['DIRS'] = ['pages']\n")
        dev.write(
            "shop/urls.py",
            "from django.shortcuts import render\nfrom django.urls import path\n"
            "urlpatterns = [path('', lambda request: render(request, 'page.html')),"
            " path('fails', lambda request: 1 / 0)]\n",
        )
        dev.start()
        assert "manage.py" in dev.log
        assert dev.get().text == "first"
        assert dev.get("/static/style.css").text == "body { color: red }"
        assert dev.get("/static/admin/css/base.css").status == 200
        assert (
            "You’re seeing this error because you have <code>DEBUG = True</code>" in dev.page("/fails").text
        )
        dev.write("pages/page.html", "second")
        assert dev.get().text == "second"
        assert "reloaded" not in dev.log


@pytest.mark.drill
def test_a_site_file_says_what_the_application_is_and_not_how_it_runs(dev):
    dev.write(
        "shop.py",
        hello("one")
        .replace("sys, time", "sys, time\nTEXT = os.environ['TEXT']")
        .replace("b'one'", "TEXT.encode()"),
    )
    dev.write(".env", "TEXT=first\n")
    dev.write("site.yaml", "app: shop:app\nbind: 127.0.0.1:1\nworkers: 4\nuser: nobody\nenv_file: .env\n")
    dev.start()
    assert "used: app, env, env_file" in dev.log
    assert "not used here: user, workers" in dev.log
    assert dev.get().text == "first"
    mark = dev.edit(".env", "TEXT=second\n")
    dev.wait_served("second")
    dev.edit("site.yaml", "app: [\n")
    dev.wait_log("site.yaml", mark)
    dev.wait_log("The last version that ran goes on serving", mark)
    assert dev.page().status == 500
    dev.edit("site.yaml", "app: shop:app\nenv: {TEXT: third}\n")
    dev.wait_served("third")
