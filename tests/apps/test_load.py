import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from superwsgi.apps import AppError, load_all
from superwsgi.apps.load import load
from superwsgi.log.spelling import spell_value

APP = """
def application(environ, start_response):
    start_response("200 OK", [])
    return [b"hello"]
"""

Module = Callable[[str, str], None]


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Module]:
    """Writes modules of an application that is gone after the test."""
    known = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def write(name: str, source: str) -> None:
        path = tmp_path / (name.replace(".", "/") + ".py")
        path.parent.mkdir(exist_ok=True)
        path.write_text(dedent(source))

    yield write
    for name in set(sys.modules) - known:
        del sys.modules[name]


def refusal(spec: str) -> AppError:
    with pytest.raises(AppError) as caught:
        load(spec)
    assert str(caught.value) == caught.value.reason
    assert caught.value.reason.isprintable()
    return caught.value


@pytest.mark.parametrize(
    ("source", "spec"),
    [
        (APP, "shop:application"),
        (APP + "class pkg:\n    app = staticmethod(application)", "shop:pkg.app"),
        (APP + "def make(): return application", "shop:make()"),
        (APP + "def make(debug=False): return application", "shop:make()"),
        ("class App:\n    def __init__(self, environ, start_response): pass", "shop:App"),
        ("class App:\n    def __call__(self, environ, start_response): pass\napp = App()", "shop:app"),
        ("def app(*args, **kwargs): pass", "shop:app"),
        ("from flask import Flask\napp = Flask('shop')", "shop:app"),
        ("import functools\napp = functools.partial(lambda x, e, s: [], 1)", "shop:app"),
    ],
)
def test_applications_are_found(module: Module, source: str, spec: str) -> None:
    module("shop", source)
    assert callable(load(spec))


def test_a_module_in_a_package(module: Module) -> None:
    module("shop.wsgi", APP)
    assert load("shop.wsgi:application") is sys.modules["shop.wsgi"].application


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("shop:", "module:attribute"),
        (":app", "module:attribute"),
        ("shop app:x", "module:attribute"),
        ("shop:make(x)", "x is no literal, did you mean 'x' in quotes?"),
        ("src/shop.py:app", "there is no such file"),
        ("shop.py:app", "there is no such file"),
    ],
)
def test_what_is_no_import_string(module: Module, spec: str, reason: str) -> None:
    module("shop", APP)
    error = refusal(spec)
    assert error.reason.startswith(f"{spec}: ")
    assert reason in error.reason
    assert error.detail == ""


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (
            "shopp:application",
            f"shopp:application: no module named 'shopp' in {Path.cwd()} or in the packages of "
            f"{sys.prefix}, did you mean 'shop'?",
        ),
        ("shop.wsgy:application", "shop.wsgy:application: no module named 'shop.wsgy', did you mean 'wsgi'?"),
        ("shop.wsgi.x:app", "shop.wsgi.x:app: no module named 'shop.wsgi.x'"),
        (
            "shop.wsgi:aplication",
            "module 'shop.wsgi' has no attribute 'aplication', did you mean 'application'?",
        ),
        ("shop.wsgi:app", "module 'shop.wsgi' has no attribute 'app', did you mean 'application'?"),
        ("shop.wsgi:server", "module 'shop.wsgi' has no attribute 'server', did you mean 'application'?"),
        ("shop.wsgi:application.app", "'application' has no attribute 'app'"),
        ("shop.wsgi:name", "it cannot be called: its type is str"),
        ("shop.wsgi:name()", "'name' is not a function: its type is str"),
        ("shop.wsgi:sub", "it is a module: did you mean shop.sub:application?"),
    ],
)
def test_what_is_not_there(module: Module, spec: str, reason: str) -> None:
    module("shop.__init__", "")
    module("shop.sub", "")
    module("shop.wsgi", APP + "name = 'shop'\nfrom shop import sub")
    error = refusal(spec)
    assert reason in error.reason
    assert error.detail == ""


@pytest.mark.parametrize(
    ("source", "reason", "detail"),
    [
        (
            "import nothing_such",
            "importing shop failed: ModuleNotFoundError: No module named 'nothing_such'",
            "line 1",
        ),
        ("from os import nothing_such", "importing shop failed: ImportError: cannot import name", "line 1"),
        (
            "import os\nos.environ['NOT_SET_HERE']",
            "importing shop failed: KeyError: 'NOT_SET_HERE'",
            "line 2",
        ),
        ("raise ValueError('one\\ntwo')", "importing shop failed: ValueError: one\\ntwo", "line 1"),
        (
            "import sys\nsys.exit(3)",
            "the module ends the process when it is imported: SystemExit(3)",
            "line 2",
        ),
        ("raise KeyboardInterrupt", "importing shop failed: KeyboardInterrupt", "line 1"),
        ("x = 1\nif x\n", "shop.py, line 2: ", "SyntaxError"),
        ("def f():\nreturn 1\n", "shop.py, line 2: expected an indented block", "IndentationError"),
    ],
)
def test_what_fails_at_its_import(module: Module, source: str, reason: str, detail: str) -> None:
    module("shop", source)
    error = refusal("shop:application")
    assert reason in error.reason
    assert "shop.py, line" in error.reason
    assert detail in error.detail
    assert "importlib" not in error.detail
    assert "superwsgi" not in error.detail


def test_a_missing_package_is_said_with_where_packages_come_from(module: Module) -> None:
    module("shop", "import nothing_such\n")
    assert refusal("shop:app").reason.endswith(f"line 1); packages are looked for in {sys.prefix}")


def test_the_line_named_is_the_one_of_the_application(module: Module, tmp_path: Path) -> None:
    module("shop.settings", "import os\n\nDEBUG = os.environ['NOT_SET_HERE']\n")
    module("shop.wsgi", "import shop.settings\n")
    error = refusal("shop.wsgi:application")
    assert error.reason.endswith(f"({tmp_path}/shop/settings.py, line 3)")


@pytest.mark.parametrize(
    ("source", "spec", "reason"),
    [
        ("def make(): raise ValueError('no')", "shop:make()", "the factory failed: ValueError: no"),
        ("def make(): raise SystemExit(2)", "shop:make()", "the factory ends the process: SystemExit(2)"),
        ("def make(): return None", "shop:make()", "the factory returned None: is its `return app` missing?"),
        ("def make(): return 3", "shop:make()", "the factory's result cannot be called: its type is int"),
        (
            "def make(config): pass",
            "shop:make()",
            "is called without arguments, but this one is make(config)",
        ),
        (
            "def make(): pass",
            "shop:make",
            "it does not take (environ, start_response): if it is a factory, write shop:make()",
        ),
        ("def make(config=None): pass", "shop:make", "if it is a factory, write shop:make()"),
        (
            "async def app(scope: dict, receive: int, send: int) -> None: pass",
            "shop:app",
            "it takes (scope, receive, send), as ASGI applications do: this is a WSGI server; wrap it in",
        ),
        ("def app(environ): pass", "shop:app", "it takes (environ), but a WSGI application takes"),
        (
            "def __getattr__(name): raise OSError(name)",
            "shop:app",
            "reading 'app' of module 'shop' failed: OSError: app",
        ),
    ],
)
def test_what_is_no_application(module: Module, source: str, spec: str, reason: str) -> None:
    module("shop", source)
    assert reason in refusal(spec).reason


def test_a_factory_is_not_taken_at_its_word(module: Module) -> None:
    module("shop", "def make():\n    def other(): pass\n    return other")
    assert "a WSGI application takes (environ, start_response)" in refusal("shop:make()").reason


def test_all_that_fail_are_reported_at_once(module: Module) -> None:
    module("shop", APP)
    module("broken", "1 / 0")
    with pytest.raises(AppError) as caught:
        load_all({"/": "shop:application", "/a": "broken:app", "/b": "absent:app"})
    assert "broken:app: importing broken failed: ZeroDivisionError" in caught.value.reason
    assert "; absent:app: no module named 'absent'" in caught.value.reason
    assert caught.value.detail.count("Traceback") == 1
    assert spell_value(caught.value.reason).startswith('"')


def test_one_application_at_the_root_is_handed_out_as_it_is(module: Module) -> None:
    module("shop", APP)
    assert load_all({"/": "shop:application"}) is load("shop:application")
