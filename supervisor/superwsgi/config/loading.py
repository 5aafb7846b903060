"""A Site from a site file or from the options of the command line, or all that is wrong with it.

The site file is read here, and the files that it names for values; nothing else is touched: no DNS, no users,
no imports.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec import inspect

from superwsgi.config import naming, sources
from superwsgi.config.errors import ConfigError, Problem, SourcePlace
from superwsgi.config.links import as_spelled
from superwsgi.config.rules import broken_rules
from superwsgi.config.schema import Application, Site
from superwsgi.config.sources import Source
from superwsgi.config.text import dotenv, yaml
from superwsgi.config.text.reader import SITE, Reader
from superwsgi.config.text.tree import Entry, Items, Keys, Node, Text
from superwsgi.config.text.variables import LARGEST, UnusableFile

_LARGEST_FILE: Final = 1 << 20
_APPLICATION: Final = inspect.type_info(Application)


def load(path: str | os.PathLike[str], environ: Mapping[str, str]) -> Site:
    """The site of a site file, with `${NAME}` taken from its `env_file`, or else from `environ`; relative
    paths start at its folder.

    Raises ConfigError.
    """
    file = os.fspath(path)
    content = _content(file)
    spelled = as_spelled(file)
    folder = Path(spelled).parent
    problems: list[Problem] = []
    first = yaml.parse(content, file, environ, [], folder)
    lines: dict[str, int] = {}
    variables = _env_file(_top(first, file), folder, environ, problems, lines)
    both = {**environ, **variables}
    root = yaml.parse(content, file, both, problems, folder, frozenset(variables))
    top = _top(root, file)
    site = _site(top, folder, naming.of_file(spelled), problems)
    env = {**variables, **site.env}
    _check_lengths(env, file)
    places = {name: f"{Path(str(site.env_file)).name}:{line}" for name, line in lines.items()}
    written = {**sources.of_variables(places), **sources.of_tree(top, places)}
    return msgspec.structs.replace(site, env=env, sources=written)


def _check_lengths(env: Mapping[str, str], file: str) -> None:
    """Raises ConfigError for variables with which no program can be executed."""
    hint = "no environment variable can be, execve(2): let the application read it from a file"
    long = [name for name, value in env.items() if len(os.fsencode(f"{name}={value}")) >= LARGEST]
    if long:
        raise ConfigError(
            [Problem(SourcePlace(file), f"env: {name} is longer than 128K", hint) for name in long]
        )


def _env_file(
    top: Keys, folder: Path, environ: Mapping[str, str], problems: list[Problem], lines: dict[str, int]
) -> dict[str, str]:
    """The variables of the file that the site file names, if it does, and in `lines` where it sets them: its
    name cannot be one of them."""
    named = top.entries.get("env_file")
    node = named.value if named else None
    if not isinstance(node, Text) or node.null:
        return {}
    try:
        return dotenv.read(folder / node.text, environ, problems, lines)
    except FileNotFoundError as error:
        problem = Problem(node.place, f"env_file: {folder / node.text} cannot be read: {error.strerror}")
    except UnusableFile as error:
        problem = Problem(node.place, f"env_file: {folder / node.text} {error}", error.hint)
    problems.append(problem)
    return {}


def from_options(
    app: str,
    *,
    chdir: str,
    bind: Sequence[str] = (),
    workers: str | int | None = None,
    threads: str | int | None = None,
    preload: bool | None = None,
    name: str | None = None,
    certificate: str | None = None,
    key: str | None = None,
    prefix: str = "--",
) -> Site:
    """The site of a command line without a site file; relative paths start at `chdir`, and `name` is
    by default that of the module or of this folder.

    `prefix` is what stands before an option's name in errors: `--` for a command, nothing for a function.
    Raises ConfigError.
    """
    options = {"app": app, "workers": workers, "threads": threads, "preload": preload, "name": name}
    top = _texts(options)
    if bind:
        top["bind"] = Items(tuple(map(Text, bind)))
    if tls := _texts({"certificate": certificate, "key": key}):
        top["tls"] = _keys(tls)
    folder = Path(as_spelled(chdir))
    site = _site(_keys(top), folder, naming.of_module(app, folder), [], prefix)
    given = [*top, *(f"tls.{key}" for key in tls), *(["chdir"] if chdir != "." else [])]
    return msgspec.structs.replace(site, sources={key: Source(_option(key, prefix)) for key in given})


def _option(key: str, prefix: str) -> str:
    """How a key is given without a site file."""
    if not prefix:
        return "superwsgi.run()"
    return "MODULE:APP" if key == "app" else prefix + key.removeprefix("tls.")


def _texts(options: Mapping[str, object]) -> dict[str, Node]:
    return {key: Text(str(value)) for key, value in options.items() if value is not None}


def _keys(nodes: Mapping[str, Node]) -> Keys:
    return Keys({key: Entry(Text(key), node) for key, node in nodes.items()})


def _site(top: Keys, folder: Path, name: str, problems: list[Problem], prefix: str = "") -> Site:
    """Raises ConfigError with what is wrong here, and what is in `problems` already."""
    above = "tls." if prefix else ""  # --certificate is tls.certificate
    reader = Reader(folder, problems, lambda key: key if key == "app" else prefix + key.removeprefix(above))
    given = {"name": name, "chdir": str(folder), "apps": _single_application(top, reader)}
    rest = Keys({key: entry for key, entry in top.entries.items() if key != "app"}, top.place)
    site: Site = reader.struct(SITE, rest, "", given)
    for key, rule in broken_rules(site, set(reader.places), reader.failed):
        problems.append(Problem(reader.places[key], rule.message, rule.hint))
    if problems:
        raise ConfigError(problems)
    return site


def _single_application(top: Keys, reader: Reader) -> dict[str, str]:
    """What `app` says, as `apps` has it."""
    app, apps = top.entries.get("app"), top.entries.get("apps")
    if app and apps:
        reader.report("app", "cannot be used with apps", "keep one of them", app.key.place)
    if not app and not apps:
        hint = "name the application, such as app: shop.wsgi:application"
        reader.report("app", "is missing", hint, SourcePlace(top.place.file) if top.place else None)
    target = reader.read(_APPLICATION, app.value, "app", otherwise=None) if app else None
    return {"/": target} if target else {}


def _top(root: Node | None, file: str) -> Keys:
    if root is None:
        raise ConfigError([Problem(SourcePlace(file), "is empty", "it needs at least app: module:attribute")])
    if not isinstance(root, Keys):
        message = f"a site file is a mapping of keys, got {root}"
        raise ConfigError([Problem(root.place, message, "write lines such as app: shop.wsgi:application")])
    return root


def _content(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            content = stream.read(_LARGEST_FILE + 1)
    except IsADirectoryError:
        raise ConfigError(
            [Problem(SourcePlace(file), "is a folder", "name the site file inside it")]
        ) from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
        raise ConfigError([Problem(SourcePlace(file), "cannot be read", reason)]) from None
    if len(content) > _LARGEST_FILE:
        raise ConfigError([Problem(SourcePlace(file), "is larger than 1M", "is this a site file?")])
    return content
