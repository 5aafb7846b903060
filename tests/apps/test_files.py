"""Applications in files that are named by their path."""

from __future__ import annotations

import pickle
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from superwsgi.apps import AppError
from superwsgi.apps.load import load

APP = "def application(environ, start_response): return [__name__.encode()]\n"


MAKES = "():\n    def made(environ, start_response): pass\n    return made\n"
ODD_NAMES = [
    *("trac.wsgi", "my-app.py", "app", "1.py", "class.py", "a.b.py"),
    *("über uns: app.py", "code.py", "sys.py"),
]


class Files:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, name: str, text: str = APP) -> str:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return str(path)

    def refusal(self, text: str) -> AppError:
        with pytest.raises(AppError) as caught:
            load(text)
        assert caught.value.reason.isprintable()
        return caught.value


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Files]:
    """The imports of a test are forgotten after it."""
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", sys.path[:])
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    yield Files(tmp_path)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def name_of(app: object) -> str:
    return str(app.__module__)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("web.py", "web"),
        ("größe.py", "größe"),
        ("shop/__init__.py", "shop"),
        ("site packages (old)/app0.py", "app0"),
    ],
)
def test_a_name_that_can_be_imported(files: Files, name: str, module: str) -> None:
    assert name_of(load(files.write(name))) == module


@pytest.mark.parametrize("name", ODD_NAMES)
def test_any_other_name(files: Files, name: str) -> None:
    import code

    app = load(files.write(name, APP + "class Order: pass\n") + ":application")
    module = sys.modules[name_of(app)]
    assert module.__file__ == str(files.folder / name)
    assert pickle.loads(pickle.dumps(module.Order())).__class__ is module.Order
    assert sys.path[0] == str(files.folder)
    assert not Path(files.folder, "__pycache__").exists()
    assert hasattr(code, "interact")


def test_in_a_package_it_is_that_of_the_package(files: Files) -> None:
    files.write("inner/shop/__init__.py", "")
    files.write("inner/shop/web/__init__.py", "")
    files.write("inner/shop/models.py", "name = 'orders'\n")
    path = files.write("inner/shop/web/app.py", "from ..models import name\nimport shop.models\n" + APP)
    assert name_of(load(path)) == "shop.web.app"
    assert sys.path[0] == str(files.folder / "inner")


def test_a_package_named_by_its_folder(files: Files) -> None:
    files.write("src/flaskr/__init__.py", "from .views import application")
    files.write("src/flaskr/views.py")
    assert name_of(load(f"{files.folder}/src/flaskr:application")) == "flaskr.views"


def test_files_of_one_name_in_two_folders(files: Files) -> None:
    first, second = (load(files.write(name)) for name in ("one/web.py", "two/web.py"))
    assert first is not second
    assert load(str(files.folder / "two/web.py")) is second


def test_what_is_beside_it_can_be_imported(files: Files) -> None:
    files.write("deploy/helper_of_trac.py", "made = 'here'\n")
    app = load(files.write("deploy/trac.wsgi", "from helper_of_trac import made\n" + APP))
    assert callable(app)


def test_a_file_and_a_module_of_the_same_name_beside_each_other(files: Files) -> None:
    files.write("trac.py", "name = 'the package'\n")
    app = load(files.write("trac.wsgi", "import trac\nassert trac.name == 'the package'\n" + APP))
    assert name_of(app) != "trac"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("def app(environ, start_response): pass", "app"),
        ("def app(environ, start_response): pass\n" + APP, "application"),
        ("import json as app\n" + APP, "application"),
        (
            "def create_app" + MAKES,
            "made",
        ),
        ("def make_app" + MAKES, "made"),
        (
            "app = 'shop'\ndef make_app" + MAKES,
            "made",
        ),
    ],
)
def test_what_is_meant_where_only_the_file_is_named(files: Files, source: str, name: str) -> None:
    app = load(files.write("web.py", source))
    assert app.__name__ == name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("x = 1", "app, create_app() or make_app(): name what it has, as in {path}:site"),
        (
            "class Site:\n    def __call__(self, environ, start_response): pass\nsite = Site()",
            "or make_app(): it has site, so write {path}:site",
        ),
        (
            "def create_app(): pass\ndef make_app(): pass",
            "it has several factories: write {path}:create_app() or {path}:make_app()",
        ),
        ("def create_app(config): pass", "this one is create_app(config): missing a required"),
        ("import nothing_such", "importing web.py failed: ModuleNotFoundError: No module"),
        ("import web.models", "No module named 'web.models'"),
        ("x = (", "{path}, line 1: '(' was never closed"),
        ("raise SystemExit(3)", "the module ends the process when it is imported: SystemExit(3)"),
        ("\0", "source code string cannot contain null bytes"),
    ],
)  # fmt: skip
def test_what_cannot_be_loaded(files: Files, source: str, reason: str) -> None:
    path = files.write("web.py", source)
    assert reason.format(path=path) in files.refusal(path).reason


def test_what_is_not_there(files: Files) -> None:
    files.write("shop/web.py")
    assert files.refusal(f"{files.folder}/shop/wev.py").reason.endswith(
        "shop/wev.py: there is no such file, did you mean 'web.py'?"
    )
    assert "there is no such file" in files.refusal(f"{files.folder}/absent/web.py").reason
    assert "it is a folder: name the file in it" in files.refusal(f"{files.folder}/shop").reason


def test_binary_junk(files: Files) -> None:
    path = Path(files.write("trac.wsgi"))
    path.write_bytes(b"\x7fELF\xff\xfe\0\0")
    assert "trac.wsgi" in files.refusal(str(path)).reason


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("('/srv', debug=True)", None),
        ("(root='/srv')", None),
        ("()", "missing a required argument: 'root'"),
        ("(1, 2, 3)", "too many positional arguments; it is make(root, debug=False)"),
        ("('/srv', password='s3cret')", "got an unexpected keyword argument 'password'"),
    ],
)
def test_a_factorys_arguments(files: Files, arguments: str, reason: str | None) -> None:
    source = "def make(root, debug=False):\n    assert root == '/srv'\n    return lambda environ, start: []"
    path = files.write("web.py", source)
    if reason is None:
        assert callable(load(f"{path}:make{arguments}"))
    else:
        error = files.refusal(f"{path}:make{arguments}")
        assert reason in error.reason
        assert "s3cret" not in error.reason
