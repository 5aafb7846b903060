"""What is found in a folder, and how: files are written, and none of their code runs."""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from superwsgi.config.errors import ConfigError
from superwsgi.project.finding import find
from superwsgi.project.found import Found

FLASK = "from flask import Flask\napp = Flask(__name__)\n"
FACTORY = "from flask import Flask\ndef create_app(config=None):\n    return Flask(__name__)\n"
WSGI = "def application(environ, start_response):\n    pass\n"
MANAGE = 'import os\ndef main():\n    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "shop.settings")\n'
SETTINGS = 'WSGI_APPLICATION = "shop.wsgi.application"\n'
DJANGO = {
    "manage.py": MANAGE,
    "shop/__init__.py": "",
    "shop/settings.py": SETTINGS,
    "shop/wsgi.py": "from django.core.wsgi import get_wsgi_application as get\napplication = get()\n",
    "shop/asgi.py": "from django.core.asgi import get_asgi_application as get\napplication = get()\n",
}
WSGI_OF_A = {"a/wsgi.py": WSGI, "a/__init__.py": ""}
WSGI_OF_B = {"b/wsgi.py": WSGI, "b/__init__.py": ""}
PASTE = "[app:main]\nuse = egg:shop\npyramid.reload_templates = true\n[server:main]\nuse = egg:waitress\n"


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, files: dict[str, str]) -> Project:
        for name, text in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
        return self

    def find(self, target: str | None = None, **more: str) -> Found:
        environ = {name: text for name, text in more.items() if name.isupper()}
        return find(target, environ, str(self.folder), command=more.get("command", "run"))

    def refusal(self, target: str | None = None, **more: str) -> str:
        with pytest.raises(ConfigError) as caught:
            self.find(target, **more)
        return str(caught.value)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.mark.parametrize(
    ("files", "app"),
    [
        ({"app.py": FLASK}, "app:app"),
        ({"wsgi.py": WSGI}, "wsgi:application"),
        ({"application.py": FLASK.replace("app =", "application =")}, "application:application"),
        ({"app.py": FACTORY}, "app:create_app()"),
        ({"app.py": FACTORY.replace("create_app", "make_app")}, "app:make_app()"),
        ({"app.py": FLASK, "wsgi.py": WSGI}, "app:app"),
        ({"app.py": FACTORY, "wsgi.py": "from app import create_app\napp = create_app()"}, "wsgi:app"),
        ({"app.py": "print('hello')", "wsgi.py": WSGI}, "wsgi:application"),
        ({"app.py": "try:\n    import app2 as app\nexcept ImportError:\n" + "    app = make()"}, "app:app"),
        ({"app.py": "from flask import Flask\nif True:\n    app: Flask = Flask('x')"}, "app:app"),
        ({"app.py": FLASK + "application = ProxyFix(app)"}, "app:application"),
        ({"app.py": FLASK + "application = app"}, "app:application"),
        ({"app.py": "from shop import site as app"}, "app:app"),
        ({"app.py": "from dash import Dash\napp = Dash()\nserver = app.server"}, "app:server"),
        ({"wsgi.py": "from shop import *", "shop.py": FACTORY}, "wsgi:create_app()"),
        ({"wsgi.py": "from shop import app", "shop/__init__.py": "", "shop/app.py": FLASK}, "shop.app:app"),
        ({"wsgi.py": "from shop import app", "shop/__init__.py": FLASK, "shop/app.py": ""}, "wsgi:app"),
        ({"app.py": "from flask import Flask\nsite = Flask(__name__)"}, "app:site"),
        ({"app.py": "import flask\napp = site = flask.Flask(__name__)"}, "app:app"),
        ({"app.py": "def x(:\n"}, "app"),
        ({"flaskr/__init__.py": FACTORY}, "flaskr:create_app()"),
        ({"shop/__init__.py": "", "shop/app.py": FACTORY}, "shop.app:create_app()"),
        ({"shop/__init__.py": "", "shop/wsgi.py": WSGI, "a/__init__.py": FACTORY}, "shop.wsgi:application"),
        ({"tests/__init__.py": FACTORY, "flaskr/__init__.py": FACTORY}, "flaskr:create_app()"),
        ({"src/flaskr/__init__.py": FACTORY}, "src/flaskr/__init__.py:create_app()"),
        ({"src/app.py": FLASK}, "src/app.py:app"),
        ({"main.py": FLASK}, "main:app"),
        ({"app.py": FLASK + "job = x()\njob.run()\nif x:\n    app.run()\n"}, "app:app"),
        ({"searx/__init__.py": "", "searx/webapp.py": FLASK, "searx/b.py": ""}, "searx.webapp:app"),
        ({"main.py": FLASK + "application = app"}, "main:application"),
        ({"code.py": FLASK}, "./code.py:app"),
        ({"my app.py": FLASK}, "./my app.py:app"),
        ({"trac-site.wsgi": WSGI}, "./trac-site.wsgi:application"),
        ({"main.py": FLASK, "trac.wsgi": "import app"}, "main:app"),
        ({"site.ini": PASTE}, "paste:site.ini"),
        ({"production.ini": PASTE, "development.ini": PASTE, "testing.ini": PASTE}, "paste:production.ini"),
        ({"tox.ini": "[tox]", "shop.ini": "[composite:site]\nuse = egg:Paste"}, "paste:shop.ini#site"),
        ({"pyproject.toml": '[tool.superwsgi]\napp = "web:site"', "app.py": FLASK}, "web:site"),
        ({"pyproject.toml": '[tool.superwsgi]\nworkers = 2', "app.py": FLASK}, "app:app"),
        ({"pyproject.toml": "[tool", "app.py": FLASK}, "app:app"),
        ({"app.py": FLASK, "app/__init__.py": ""}, "./app.py:app"),
    ],
)  # fmt: skip
def test_a_folder(project: Project, files: dict[str, str], app: str) -> None:
    found = project.write(files).find()
    assert found.app == app
    assert found.folder == str(project.folder)
    assert found.why


def test_other_keys_of_a_site_file(project: Project) -> None:
    table = """
        [tool.superwsgi]
        workers = 2
        bind = [":80", ":81"]
        log.capture = true
        [tool.superwsgi.paths."/x"]
        request = "5m"
    """
    found = project.write({"pyproject.toml": table, "app.py": FLASK}).find()
    assert found.app == "app:app"
    assert found.settings == {
        "workers": 2,
        "bind": [":80", ":81"],
        "log": {"capture": True},
        "paths": {"/x": {"request": "5m"}},
    }


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("tool.superwsgi.app = 3", "pyproject.toml: app: expected text, got 3"),
        ("tool.superwsgi.app = 'a b'", "pyproject.toml: app: expected module:attribute"),
        ("tool.superwsgi.apps = {'/' = 'a:b'}", "pyproject.toml: [tool.superwsgi] has apps: several"),
        ("tool.superwsgi = 3", "pyproject.toml: tool.superwsgi is no table: write [tool.superwsgi]"),
        ("tool.superwsgi.app = 'app.py'", "there is no file app.py"),
        ("[tool.superwsgi\nworkers = 2", "pyproject.toml is no TOML: "),
    ],
)
def test_a_table_that_cannot_be_used(project: Project, table: str, problem: str) -> None:
    assert problem in project.write({"pyproject.toml": table}).refusal()


def test_a_django_project(project: Project) -> None:
    found = project.write(DJANGO).find()
    assert (found.app, found.framework) == ("shop.wsgi:application", "django")
    assert found.env == {"DJANGO_SETTINGS_MODULE": "shop.settings"}
    assert (
        found.why == "manage.py is Django's, and shop.settings has WSGI_APPLICATION = shop.wsgi.application"
    )
    assert project.find(DJANGO_SETTINGS_MODULE="shop.settings").env == {}
    assert project.find("manage.py") == found


def test_the_environment_chooses_the_settings(project: Project) -> None:
    project.write({**DJANGO, "shop/live.py": "from .settings import *\n", "shop/bare.py": ""})
    assert project.find(DJANGO_SETTINGS_MODULE="shop.live").app == "shop.wsgi:application"
    assert project.find(DJANGO_SETTINGS_MODULE="shop.bare").app == "django.core.wsgi:get_wsgi_application()"


def test_settings_that_import_others(project: Project) -> None:
    settings = {
        "config/__init__.py": "",
        "config/settings/__init__.py": "from .local import *\n",
        "config/settings/local.py": "from config.settings.middle import *\n",
        "config/settings/middle.py": "from ..base import *\nfrom .local import *\n",
        "config/base.py": 'WSGI_APPLICATION = "config.wsgi.application"\n',
        "manage.py": MANAGE.replace("shop.settings", "config.settings"),
    }
    assert project.write(settings).find().app == "config.wsgi:application"
    project.write({"config/base.py": "from config.base import *\nfrom ..... import *\n"})
    assert project.find().app == "django.core.wsgi:get_wsgi_application()"


def test_to_serve_the_settings_are_those_of_wsgi_py_and_to_develop_those_of_manage_py(
    project: Project,
) -> None:
    own = MANAGE.replace("shop.settings", "shop.live")
    project.write({**DJANGO, "shop/wsgi.py": own + DJANGO["shop/wsgi.py"]})
    assert project.find().env == {"DJANGO_SETTINGS_MODULE": "shop.live"}
    assert project.find(command="dev").env == {"DJANGO_SETTINGS_MODULE": "shop.settings"}


@pytest.mark.parametrize(
    ("value", "app"),
    [
        ("hello", "hello:app"),
        ("hello.py", "hello:app"),
        ("src/hello", "./src/hello.py:app"),
        ("hello:other", "hello:other"),
        ("hello:build", "hello:build()"),
        ("hello:build('dev')", "hello:build('dev')"),
        ("elsewhere.web:app", "elsewhere.web:app"),
    ],
)
def test_flask_app(project: Project, value: str, app: str) -> None:
    hello = FLASK + "def build(config='x'):\n    return app\n"
    project.write({"hello.py": hello, "src/hello.py": hello, "app.py": FLASK})
    assert project.find(FLASK_APP=value).app.removeprefix("./") == app.removeprefix("./")
    project.write({".flaskenv": f"FLASK_APP={value!r}" if "'" not in value else f'FLASK_APP="{value}"'})
    assert project.find().app.removeprefix("./") == app.removeprefix("./")
    assert ".flaskenv" in project.find().why


@pytest.mark.parametrize(
    ("target", "app"),
    [
        ("app.py", "app:app"),
        ("app.py:create_app('x')", "app.py:create_app('x')"),
        ("app", "app:app"),
        ("app:other", "app:other"),
        ("shop:create_app", "shop:create_app()"),
        ("src/new/__init__.py:create_app", "src/new/__init__.py:create_app()"),
        ("deploy/trac.wsgi:application", "deploy/trac.wsgi:application"),
        ("installed.wsgi", "installed.wsgi"),
        ("deploy/trac.wsgi", "deploy/trac.wsgi:application"),
        ("deploy/trac.wsgi:other", "deploy/trac.wsgi:other"),
        ("trac.wsgi", "./trac.wsgi:application"),
        ("shop", "shop:create_app()"),
        ("shop/__init__.py", "shop:create_app()"),
        ("site.ini", "paste:site.ini"),
        ("site.ini#main", "paste:site.ini"),
        ("paste:site.ini#main", "paste:site.ini"),
        ("new", "new:create_app()"),
    ],
)
def test_what_is_named(project: Project, target: str, app: str) -> None:
    files = {"app.py": FLASK, "deploy/trac.wsgi": WSGI, "trac.wsgi": WSGI, "shop/__init__.py": FACTORY}
    found = project.write({**files, "site.ini": PASTE, "src/new/__init__.py": FACTORY}).find(target)
    assert found.app == app.replace("new:", "src/new/__init__.py:")
    assert found.folder == str(project.folder)


def test_another_folder(project: Project) -> None:
    project.write({"a/b/app.py": FLASK})
    assert project.find("a/b") == Found(
        "app:app", f"{project.folder}/a/b", "app.py defines app", framework="flask"
    )
    assert project.write({"app.py": FLASK}).find(".").folder == str(project.folder)


def test_another_folder_in_messages(project: Project) -> None:
    project.write({"a b/c.py": FLASK, "a b/d.py": FLASK})
    assert "type `superwsgi run --chdir 'a b' c:app` or" in project.refusal("a b")
    assert "as in `superwsgi dev shop.wsgi:application`" in project.refusal(command="dev")


def test_a_folder_that_is_a_package(project: Project) -> None:
    """Its modules may import from it relatively, so it is told apart from a project by its `__init__.py`."""
    project.write({"flaskr/__init__.py": FACTORY})
    assert project.find("flaskr/").app == "./__init__.py:create_app()"
    project.write({"flaskr/app.py": FLASK})
    assert project.find("flaskr/").app == "./app.py:app"


def test_a_site_file(project: Project) -> None:
    project.write({"site.yaml": "app: app:app", "app.py": FLASK})
    assert project.find().site_file == f"{project.folder}/site.yaml"
    assert project.find("other.yml").site_file == f"{project.folder}/other.yml"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no application found"),
        ({"app.py": FLASK + "application = Flask('other')"}, "run app:app` or `superwsgi run app:appl"),
        ({"a/__init__.py": FACTORY, "b/__init__.py": FACTORY}, "'a:create_app()'` or `superwsgi run 'b:cr"),
        ({**WSGI_OF_A, **WSGI_OF_B}, "a.wsgi:application` or `superwsgi run b.wsgi:appl"),
        ({"a.ini": PASTE, "b.ini": PASTE}, "type `superwsgi run a.ini` or `superwsgi run b.ini`"),
        ({"app.py": "from fastapi import FastAPI\napp = FastAPI()"}, "app.py: app is an ASGI application"),
        ({"main.py": "from fastapi import FastAPI\napp = FastAPI()"}, "main.py: app is an ASGI application"),
        ({"app.py": "if __name__ == '__main__':\n    app = Flask('x')"}, "under `if __name__"),
        ({"app.py": "from bottle import route\n@route('/')\ndef index(): pass"}, "bottle.default_app()"),
        ({"app.py": "import cherrypy\nif x:\n    pass"}, "write app = cherrypy.tree.mount(Root(), '/')"),
        ({"app.py": "x = 1"}, "name it, as in `superwsgi run shop.wsgi:application`\napp.py: it defines no"),
        ({"app.py": "import bottle"}, "Paste files\napp.py: its routes"),
        ({"api/main.py": FLASK}, "there is api/main.py: type `superwsgi run api`"),
        ({"backend/app.py": FLASK}, "there is backend/app.py: type `superwsgi run backend`"),
        ({"wsgi.py": "from wsgi import *"}, "no application found"),
        ({"conf/live.ini": PASTE}, "there is conf/live.ini: type `superwsgi run conf/live.ini`"),
        ({"a/__init__.py": "", "a/b.py": FLASK, "a/c.py": FLASK}, "type `superwsgi run a.b:app` or"),
        ({"a b/app.py": FLASK}, "there is a b/app.py: type `superwsgi run 'a b'`"),
        ({"\x1b[2J.py": FLASK, "b.py": FLASK}, "u001b[2J.py:app'`"),
        ({"app.py": FLASK + "app.run()"}, "app.py calls app.run() in line 3 when it is imported"),
        ({"app.py": "app = x()\napp.run()"}, "app.py calls app.run() in line 2 when it is imported"),
        ({"app.py": "import bottle\napp = x()\nbottle.run(app)"}, "calls bottle.run() in line 3"),
        ({"app.py": "def create_app(config):\n    pass"}, "app.py: create_app needs arguments"),
    ],
)  # fmt: skip
def test_none_or_several(project: Project, files: dict[str, str], words: str) -> None:
    assert words in project.write(files).refusal()


STRANGE_TARGETS = [
    *("absent", "absent/", "absent/app.py", "x" * 5000, "a/" * 5000, "../../../..:", "a\0b", "-", "*"),
    *("~/app.py", "app.py#x", "\udcff.py", "a:b:c", "http://x/", "site.ini#"),
]


@pytest.fixture
def stranger() -> Iterator[None]:
    """Who may not read everything, if he wants to be that."""
    if os.geteuid() != 0:
        pytest.skip("only root can be somebody else")
    yield
    os.seteuid(0)


class TestHostileFiles:
    """None of them is run, waited for or shown as a traceback."""

    def test_nothing_runs(self, project: Project) -> None:
        evil = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
        names = ["app.py", "flaskr/__init__.py", "manage.py", "conftest.py", "sitecustomize.py"]
        project.write({name: evil + (FLASK if name == "app.py" else "") for name in names})
        project.find()
        project.find("app")
        project.find("flaskr:create_app")
        assert not list(project.folder.rglob("ran"))

    @pytest.mark.parametrize(
        "content",
        [
            b"\xff\xfe\x00app = Flask()",
            b"app = 1 \0",
            b"# coding: nonsense\napp = Flask()",
            b"app = " + b"(" * 5000,
            b"app = " + b"-" * 50_000 + b"1",
            b"x = 1\n" + b"if x:\n pass\n" + b"elif x:\n pass\n" * 3000,
            b"app = " + b"a." * 20_000 + b"b",
            b"app = '" + b"x" * (2 << 20) + b"'",
            b"",
        ],
        ids=range(9),
    )
    def test_junk(self, project: Project, content: bytes) -> None:
        Path(project.folder, "app.py").write_bytes(content)
        with suppress(ConfigError):
            assert project.find().app.startswith("app")
        assert project.write({"wsgi.py": WSGI}).find().app in ("app", "app:app", "wsgi:application")

    def test_files_of_other_kinds(self, project: Project) -> None:
        os.mkfifo(project.folder / "app.py")
        Path(project.folder, "wsgi.py").mkdir()
        Path(project.folder, "application.py").symlink_to("application.py")
        Path(project.folder, "src").symlink_to("src")
        Path(project.folder, "manage.py").symlink_to("/dev/zero")
        Path(project.folder, ".env").symlink_to("/dev/zero")
        Path(project.folder, "pyproject.toml").symlink_to("/dev/tty")
        Path(project.folder, "again").symlink_to(project.folder)
        Path(project.folder, "site.ini").symlink_to("/proc/self/mem")
        assert "no application found" in project.refusal()
        assert "there is no file app.py" in project.refusal("app.py")
        assert "there is no file application.py" in project.refusal("application.py")

    def test_what_is_not_ours_to_read(self, stranger: None) -> None:
        with TemporaryDirectory() as name:
            project = Project(Path(name)).write({"app.py": FLASK, "closed/app.py": FLASK})
            project.folder.chmod(0o755)
            for each in ("app.py", "closed"):
                Path(name, each).chmod(0)
            os.seteuid(65534)
            assert "app.py: cannot be read by user" in project.refusal()
            assert "app.py: cannot be read by user" in project.refusal("app.py")
            assert "closed: cannot be read: permission denied" in project.refusal("closed")
            assert "there is no file closed/app.py" in project.refusal("closed/app.py")
            os.seteuid(0)

    @pytest.mark.parametrize("target", STRANGE_TARGETS)
    def test_targets(self, project: Project, target: str) -> None:
        """Each is either the name of a module or said to be wrong."""
        with suppress(ConfigError):
            assert project.find(target).app == target

    def test_a_folder_that_is_gone(self, project: Project) -> None:
        with pytest.raises(ConfigError, match="cannot be read: no such file or directory"):
            find(None, {}, str(project.folder / "gone"))

    def test_many_files(self, project: Project) -> None:
        project.write({f"script_{number}.py": "x = 1\n" for number in range(1000)})
        assert project.write({"app.py": FLASK}).find().app == "app:app"
        assert len(project.write({"app.py": ""}).refusal()) < 1000
