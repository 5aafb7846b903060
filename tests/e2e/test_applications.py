"""What `app` may say, in a real daemon: each kind is found, and loaded anew by HUP."""

import json

import pytest

from tests.e2e.releases import Releases

SAYS = """
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"{}"]
"""
WRAPPED = """
    from .words import WORD

    def create_app(*roots, quiet=False):
        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [f"{WORD} {roots} {quiet}".encode()]
        return application
"""
PASTE = """
    [app:main]
    paste.app_factory = made:make
    word = {}

    [server:main]
    use = egg:waitress#main
    port = 6543

    [loggers]
    keys = root

    [handlers]
    keys = console

    [formatters]
    keys = plain

    [logger_root]
    level = INFO
    handlers = console

    [handler_console]
    class = StreamHandler
    args = (sys.stderr,)
    formatter = plain

    [formatter_plain]
    format = app says: %(message)s
"""
MADE = """
    import logging

    def make(settings, word):
        logging.getLogger("made").info("made in %s", settings["here"])

        def application(environ, start_response):
            start_response("200 OK", [("Content-Type", "text/plain")])
            return [word.encode()]
        return application
"""
QUICK = {"rollout": {"confirm": "1s"}}
APPS = {
    "/module": "module",
    "/wsgi": "deploy/über uns.wsgi",
    "/package": "inner/shop/app.py:create_app('/srv', quiet=True)",
    "/factory": "inner/shop/app.py",
    "/paste": "site.ini",
}


def write(daemon, word):
    daemon.write("module.py", SAYS.format(word))
    daemon.write("deploy/über uns.wsgi", SAYS.format(word))
    daemon.write("inner/shop/__init__.py", "")
    daemon.write("inner/shop/words.py", f"WORD = {word!r}\n")
    daemon.write("inner/shop/app.py", WRAPPED)
    daemon.write("made.py", MADE)
    daemon.write("site.ini", PASTE.format(word))


def answers(daemon):
    return {place: daemon.get(place).text for place in APPS}


def expected(word):
    package = {"/package": f"{word} ('/srv',) True", "/factory": f"{word} () False"}
    return {**dict.fromkeys(APPS, word), **package}


def test_every_kind_and_hup(daemon):
    pytest.importorskip("paste.deploy")
    write(daemon, "first")
    daemon.site(app=None, apps=APPS, workers=1)
    daemon.start()
    assert answers(daemon) == expected("first")
    assert f"app says: made in {daemon.folder}" in daemon.log
    assert daemon.log.count("[server:main] in ") == 1
    write(daemon, "second")
    daemon.reload()
    assert answers(daemon) == expected("second")


def test_a_command_line(daemon):
    """As what is typed for other servers, in a folder with a name like no module's."""
    daemon.write("my shop/flaskr/__init__.py", WRAPPED)
    daemon.write("my shop/flaskr/words.py", "WORD = 'flaskr'\n")
    daemon.start("run", "flaskr:create_app(quiet=True)", "--chdir", "my shop", "-b", "127.0.0.1:0", "-w", "1")
    assert daemon.get().text == "flaskr () True"


def test_a_file_is_that_of_the_release(daemon):
    releases = Releases(daemon)
    for name in "12":
        releases.make(name, app="{name}", apps=None)
        daemon.write(f"releases/{name}/deploy/shop.wsgi", SAYS.format(name))
    releases.switch("1")
    for name in "12":
        site = releases.path(name) / "site.yaml"
        keys = {"name": "site", "bind": "127.0.0.1:0", "app": "deploy/shop.wsgi", "preload": False}
        site.write_text(json.dumps({**keys, "workers": 1, "requests": {"max": 2}, **QUICK}))
    releases.start("venv/bin/python", "-m", "superwsgi", "-c", "site.yaml")
    releases.switch("2")
    assert [daemon.get().text for _ in range(6)] == ["1"] * 6, "what replaces a worker imported the other"
    daemon.reload()
    assert daemon.get().text == "2"


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("shop:make(1, 2)", "shop:make(…): the factory does not take these arguments: too many positional"),
        ("deploy/shop.wgsi", "deploy/shop.wgsi: there is no such file, did you mean 'shop.wsgi'?"),
    ],
)
def test_what_is_wrong_is_said_without_a_traceback(daemon, app, said):
    daemon.write("shop.py", "def make(x): pass\n")
    daemon.write("deploy/shop.wsgi", SAYS)
    daemon.site(app=app)
    checked = daemon.command("check", "-c", "site.yaml")
    assert said in checked.stderr
    assert checked.returncode == 3
    assert "Traceback" not in checked.stderr
