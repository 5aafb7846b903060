"""From what `app` says to a WSGI application, or to one line of why not.

The application's code runs here for the first time, so anything may be raised, SystemExit included; all of
it becomes an AppError. Runs in a mold or a worker, never in the master.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Final

from superwsgi.apps import modules
from superwsgi.apps.paste import load_paste
from superwsgi.apps.patched import refusal
from superwsgi.apps.spec import AppError, Spec, at, near
from superwsgi.apps.types import WSGIApp
from superwsgi.config.grammar.import_strings import AppKind, FactoryCall
from superwsgi.log.spelling import spell_exception

_INSTANCES: Final = ("application", "app")
_FACTORIES: Final = ("create_app", "make_app")
_USUAL: Final = (*_INSTANCES, *_FACTORIES)
"""What applications and their factories are called; the first is what servers have always looked for."""


def load(text: str) -> WSGIApp:
    """The application that `text` names, imported and, for a factory, made. Raises AppError."""
    spec = Spec.of(text)
    if spec.said.kind is AppKind.PASTE:
        app = load_paste(spec)
    else:
        module = modules.by_name(spec) if spec.said.kind is AppKind.MODULE else modules.by_path(spec)
        spec = spec if spec.said.name else _usual(spec, module)
        found = _attribute(spec, module)
        app = found if spec.said.call is None else _make(spec, found, spec.said.call)
    _check_application(spec, app)
    _check_threads(spec)
    return app  # type: ignore[return-value]  # checked as far as that can be


def load_function(text: str) -> Callable[..., object]:
    """The function that `text` names, for hooks. Raises AppError."""
    spec = Spec.of(text)
    found = _attribute(spec, modules.by_name(spec))
    if not callable(found):
        spec.fail(f"it cannot be called: its type is {type(found).__name__}")
    _check_threads(spec)
    return found


def _usual(spec: Spec, module: ModuleType) -> Spec:
    """What is meant in a module of which nothing else is said. Raises AppError."""
    known = {name: value for name in _USUAL if callable(value := getattr(module, name, None))}
    instance = next((name for name in _INSTANCES if name in known), None)
    if instance is not None:
        return Spec(replace(spec.said, name=instance))
    if not known:
        spec.fail(_nothing_usual(spec, module))
    if len({id(factory) for factory in known.values()}) > 1:
        choice = " or ".join(f"{spec.said.source}:{each}()" for each in known)
        spec.fail(f"it has several factories: write {choice}")
    return Spec(replace(spec.said, name=next(iter(known)), call=FactoryCall(), arguments="()"))


def _nothing_usual(spec: Spec, module: ModuleType) -> str:
    others = _applications(module)
    has = f"it has {', '.join(others)}, so write" if others else "name what it has, as in"
    usual = "it has no application, app, create_app() or make_app()"
    return f"{usual}: {has} {spec.said.source}:{others[0] if others else 'site'}"


def _applications(module: ModuleType) -> list[str]:
    """What else there may be meant."""
    things = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    return [
        name
        for name, value in things.items()
        if callable(value)
        and not isinstance(value, type | FunctionType | BuiltinFunctionType)
        and accepts(value, 2)
    ]


def _attribute(spec: Spec, module: ModuleType) -> object:
    found: object = module
    owner = f"{spec.said.kind.value} {spec.said.source!r}"
    for name in (spec.said.name or "").split("."):
        try:
            found = getattr(found, name)
        except AttributeError:
            known = dir(found)
            meant = near(name, known) or near(name, [usual for usual in _USUAL if usual in known], 0)
            spec.fail(f"{owner} has no attribute {name!r}{meant}")
        except BaseException as exc:
            spec.fail(f"reading {name!r} of {owner} failed: {spell_exception(exc)}{at(exc)}", exc)
        owner = repr(name)
    return found


def _make(spec: Spec, factory: object, call: FactoryCall) -> object:
    if not callable(factory):
        spec.fail(f"{spec.said.name!r} is not a function: its type is {type(factory).__name__}")
    _check_arguments(spec, factory, call)
    try:
        return factory(*call.positional, **call.keywords)
    except AppError:
        raise
    except SystemExit as exc:
        spec.fail(f"the factory ends the process: SystemExit({exc.code!r}){at(exc)}", exc)
    except BaseException as exc:
        spec.fail(f"the factory failed: {spell_exception(exc)}{at(exc)}", exc)


def _check_arguments(spec: Spec, factory: Callable[..., object], call: FactoryCall) -> None:
    """Raises AppError for those that it does not take."""
    problem = _misfit(factory, *call.positional, **call.keywords)
    if not problem:
        return
    spelled = f"{spec.said.name}{_signature(factory)}"
    if call == FactoryCall():
        spec.fail(
            f"the factory is called without arguments, but this one is {spelled}: {problem}; "
            "write it in the parentheses, as a literal"
        )
    spec.fail(f"the factory does not take these arguments: {problem}; it is {spelled}")


def _check_application(spec: Spec, app: object) -> None:
    is_made = spec.said.call is not None
    what = "the factory's result" if is_made else "it"
    if app is None and is_made:
        spec.fail("the factory returned None: is its `return app` missing?")
    if isinstance(app, ModuleType):
        spec.fail(f"{what} is a module: did you mean {app.__name__}:application?")
    if not callable(app):
        spec.fail(f"{what} cannot be called: its type is {type(app).__name__}")
    if accepts(app, 2):
        return
    if accepts(app, 0) and not is_made:
        spec.fail(f"{what} does not take (environ, start_response): if it is a factory, write {spec.said}()")
    if accepts(app, 3):
        spec.fail(
            f"{what} takes {_signature(app)}, as ASGI applications do: this is a WSGI server; "
            "wrap it in a2wsgi.ASGIMiddleware, or use an ASGI server"
        )
    spec.fail(f"{what} takes {_signature(app)}, but a WSGI application takes (environ, start_response)")


def _check_threads(spec: Spec) -> None:
    reason = refusal()
    if reason is not None:
        spec.fail(reason)


def accepts(function: object, arguments: int) -> bool:
    """Whether it can be called with so many; True where Python cannot tell, as for some written in C."""
    return not _misfit(function, *range(arguments))


def _misfit(function: object, *positional: object, **keywords: object) -> str:
    """What keeps it from being called with these; empty where nothing does, or Python cannot tell."""
    try:
        signature = inspect.signature(function)  # type: ignore[arg-type]  # callable() said yes
    except (ValueError, TypeError):
        return ""
    try:
        signature.bind(*positional, **keywords)
    except TypeError as error:
        return str(error)
    return ""


def _signature(function: object) -> str:
    """Its parameters, without their annotations."""
    signature = inspect.signature(function)  # type: ignore[arg-type]  # callable() said yes
    bare = [each.replace(annotation=each.empty) for each in signature.parameters.values()]
    return str(signature.replace(parameters=bare, return_annotation=signature.empty))
