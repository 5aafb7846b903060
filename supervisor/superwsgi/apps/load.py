"""From `module:attribute` or `module:factory()` to a WSGI application, or to one line of why not.

The application's code runs here for the first time, so anything may be raised, SystemExit included; all of
it becomes an AppError. Runs in a mold or a worker, never in the master.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Callable
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple, NoReturn

from superwsgi.apps.locks import is_locked_out
from superwsgi.apps.patched import refusal
from superwsgi.apps.types import WSGIApp
from superwsgi.config.text.grammar import Invalid
from superwsgi.config.text.import_strings import import_string
from superwsgi.log.frames import application_traceback, raised_at
from superwsgi.log.spelling import printable, spell_exception

_USUAL: Final = ("application", "app", "create_app", "make_app")
"""What applications and their factories are called."""


class AppError(Exception):
    """An application that cannot be loaded: `reason` is one line for the operator, `detail` a traceback;
    `locked` if it needs something that another process has locked."""

    def __init__(self, reason: str, detail: str = "", *, locked: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.locked = locked


class _Spec(NamedTuple):
    text: str
    module: str
    attributes: tuple[str, ...]
    is_factory: bool

    def fail(self, reason: str, cause: BaseException | None = None) -> NoReturn:
        """Raises AppError; `cause` is the application's own failure, and gives the detail."""
        detail = "" if cause is None else application_traceback(cause)
        locked = cause is not None and is_locked_out(cause)
        raise AppError(f"{self.text}: {printable(reason)}", detail, locked=locked) from cause


def load(text: str) -> WSGIApp:
    """The application that `text` names, imported and, for a factory, made. Raises AppError."""
    spec = _parse(text)
    found = _attribute(spec, _module(spec))
    app = _make(spec, found) if spec.is_factory else found
    _check_application(spec, app)
    _check_threads(spec)
    return app  # type: ignore[return-value]  # checked as far as that can be


def load_function(text: str) -> Callable[..., object]:
    """The function that `text` names, for hooks. Raises AppError."""
    spec = _parse(text)
    found = _attribute(spec, _module(spec))
    if not callable(found):
        spec.fail(f"it cannot be called: its type is {type(found).__name__}")
    _check_threads(spec)
    return found


def _parse(text: str) -> _Spec:
    try:
        module, _, attribute = import_string(text).partition(":")
    except Invalid as exc:
        raise AppError(f"{text}: should be {exc.expected}" + (f"; {exc.hint}" if exc.hint else "")) from None
    name = attribute.removesuffix("()")
    return _Spec(text, module, tuple(name.split(".")), is_factory=name != attribute)


def _module(spec: _Spec) -> ModuleType:
    try:
        return importlib.import_module(spec.module)
    except ModuleNotFoundError as exc:
        if exc.name is not None and f"{spec.module}.".startswith(f"{exc.name}."):
            spec.fail(f"no module named {exc.name!r}{_instead(spec, exc.name)}")
        _fail_import(spec, exc, f"; packages are looked for in {sys.prefix}")
    except SyntaxError as exc:
        spec.fail(f"{exc.filename}, line {exc.lineno}: {exc.msg}", exc)
    except SystemExit as exc:
        spec.fail(f"the module ends the process when it is imported: SystemExit({exc.code!r}){_at(exc)}", exc)
    except BaseException as exc:
        _fail_import(spec, exc)


def _fail_import(spec: _Spec, exc: BaseException, more: str = "") -> NoReturn:
    spec.fail(f"importing {spec.module} failed: {spell_exception(exc)}{_at(exc)}{more}", exc)


def _at(exc: BaseException) -> str:
    place = raised_at(exc)
    return f" ({place})" if place else ""


def _instead(spec: _Spec, missing: str) -> str:
    """Where it was looked for, and a similar name."""
    if missing.endswith(".py"):
        return f", a module is named without .py: {spec.text.replace('.py:', ':', 1)}"
    package, _, name = missing.rpartition(".")
    where = "" if package else f" in {_here()} or in the packages of {sys.prefix}"
    return where + _near(name, _siblings(missing))


def _here() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "the working folder, which has been removed (an old release?),"


def _siblings(module: str) -> list[str]:
    parent = sys.modules.get(module.rpartition(".")[0])
    path = list(parent.__path__) if parent and hasattr(parent, "__path__") else None
    return [found.name for found in pkgutil.iter_modules(path)]


def _near(name: str, known: list[str], cutoff: float = 0.6) -> str:
    near = get_close_matches(name, known, n=1, cutoff=cutoff)
    return f", did you mean {near[0]!r}?" if near else ""


def _attribute(spec: _Spec, module: ModuleType) -> object:
    found: object = module
    owner = f"module {spec.module!r}"
    for name in spec.attributes:
        try:
            found = getattr(found, name)
        except AttributeError:
            known = dir(found)
            meant = _near(name, known) or _near(name, [usual for usual in _USUAL if usual in known], 0)
            spec.fail(f"{owner} has no attribute {name!r}{meant}")
        except BaseException as exc:
            spec.fail(f"reading {name!r} of {owner} failed: {spell_exception(exc)}{_at(exc)}", exc)
        owner = repr(name)
    return found


def _make(spec: _Spec, factory: object) -> object:
    name = ".".join(spec.attributes)
    if not callable(factory):
        spec.fail(f"{name!r} is not a function: its type is {type(factory).__name__}")
    if not accepts(factory, 0):
        spec.fail(f"a factory is called without arguments, but this one is {name}{_signature(factory)}")
    try:
        return factory()
    except SystemExit as exc:
        spec.fail(f"the factory ends the process: SystemExit({exc.code!r}){_at(exc)}", exc)
    except BaseException as exc:
        spec.fail(f"the factory failed: {spell_exception(exc)}{_at(exc)}", exc)


def _check_application(spec: _Spec, app: object) -> None:
    what = "the factory's result" if spec.is_factory else "it"
    if app is None and spec.is_factory:
        spec.fail("the factory returned None: is its `return app` missing?")
    if isinstance(app, ModuleType):
        spec.fail(f"{what} is a module: did you mean {app.__name__}:application?")
    if not callable(app):
        spec.fail(f"{what} cannot be called: its type is {type(app).__name__}")
    if accepts(app, 2):
        return
    if accepts(app, 0) and not spec.is_factory:
        spec.fail(f"{what} does not take (environ, start_response): if it is a factory, write {spec.text}()")
    if accepts(app, 3):
        spec.fail(
            f"{what} takes {_signature(app)}, as ASGI applications do: this is a WSGI server; "
            "wrap it in a2wsgi.ASGIMiddleware, or use an ASGI server"
        )
    spec.fail(f"{what} takes {_signature(app)}, but a WSGI application takes (environ, start_response)")


def _check_threads(spec: _Spec) -> None:
    reason = refusal()
    if reason is not None:
        spec.fail(reason)


def accepts(function: object, arguments: int) -> bool:
    """Whether it can be called with so many; True where Python cannot tell, as for some written in C."""
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]  # callable() said yes
    except (ValueError, TypeError):
        return True
    try:
        signature.bind(*range(arguments))
    except TypeError:
        return False
    return True


def _signature(function: object) -> str:
    """Its parameters, without their annotations."""
    signature = inspect.signature(function)  # type: ignore[arg-type]  # callable() said yes
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))
