"""A Site from a site file or from the options of the command line, or all that is wrong with it.

The site file is read here, and the files that it names for values; nothing else is touched: no DNS, no users,
no imports.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec
from msgspec import inspect

from superwsgi.config import naming
from superwsgi.config.errors import ConfigError, Problem, SourcePlace, in_order
from superwsgi.config.given.command_line import CommandLine, Value
from superwsgi.config.given.environment import SOURCES, of_environment
from superwsgi.config.given.merging import at_keys, merged
from superwsgi.config.given.mounted import with_root
from superwsgi.config.given.toml import Table
from superwsgi.config.grammar.proxies import SCRIPT_NAME
from superwsgi.config.links import as_spelled
from superwsgi.config.rules import broken_rules
from superwsgi.config.schema import Application, Site
from superwsgi.config.sources import Source
from superwsgi.config.text import dotenv, sources, yaml
from superwsgi.config.text.reader import SITE, Reader
from superwsgi.config.text.tree import Entry, Keys, Node, Text
from superwsgi.config.text.variables import LARGEST, UnusableFile

_LARGEST_FILE: Final = 1 << 20
_NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})
_NOTHING_SAID: Final = CommandLine()
_APPLICATION: Final = inspect.type_info(Application)


@dataclass(frozen=True, slots=True)
class ValuePlaces:
    """Where keys were written, and where each of the values of a key that has several. Options have no place;
    `file` is None for a site without one."""

    file: str | None
    keys: Mapping[str, SourcePlace | None]
    values: Mapping[tuple[str, str], SourcePlace | None]

    def of(self, key: str, value: object = None) -> SourcePlace | None:
        """The place of this value, or of the key, or of the one around it; else the file as a whole."""
        if (key, str(value)) in self.values:
            return self.values[key, str(value)]
        known = next((each for each in _and_around(key) if each in self.keys), None)
        if known is not None:
            return self.keys[known]
        return None if self.file is None else SourcePlace(self.file)


def _and_around(key: str) -> Iterator[str]:
    """`paths /x.threads`, `paths /x`, `paths`."""
    yield key
    while end := max(key.rfind("."), key.rfind(" ")) + 1:
        key = key[: end - 1]
        yield key


@dataclass(frozen=True, slots=True)
class SiteReading:
    """A site as far as it could be read, and all that is wrong with what was read. A key in `failed` has its
    default, which proves nothing."""

    site: Site
    problems: tuple[Problem, ...]
    failed: frozenset[str]
    places: ValuePlaces

    def faultless(self) -> Site:
        """The site. Raises ConfigError where something is wrong."""
        if self.problems:
            raise ConfigError(self.problems, self.site, self.failed)
        return self.site


def load(path: str | os.PathLike[str], environ: Mapping[str, str], said: CommandLine = _NOTHING_SAID) -> Site:
    """The site of a site file, and of what is `said` beside it, which wins; with `${NAME}` taken from its
    `env_file`, or else from `environ`; relative paths in it start at its folder.

    Raises ConfigError.
    """
    return read(path, environ, said).faultless()


def read(
    path: str | os.PathLike[str], environ: Mapping[str, str], said: CommandLine = _NOTHING_SAID
) -> SiteReading:
    """As `load`, also where something is wrong. Raises ConfigError for a file of which nothing can be
    read."""
    file = os.fspath(path)
    content = _content(file)
    spelled = as_spelled(file)
    folder = Path(spelled).parent

    def tree(variables: Mapping[str, str], problems: list[Problem], private: frozenset[str]) -> Keys:
        top = _top(yaml.parse(content, file, variables, problems, folder, private), file)
        return merged(merged(top, said.defaults_tree(problems)), said.tree(variables, problems, private))

    names = _Names(said.labels, said.sources)
    return _read(tree, folder, naming.of_file(spelled), environ, names, file)


@dataclass(frozen=True)
class _Names:
    """What those values are called that stand in no file: in messages, and as the source of a key."""

    labels: Mapping[str, str]
    sources: Mapping[str, str]


def _read(
    tree: Callable[[Mapping[str, str], list[Problem], frozenset[str]], Keys],
    folder: Path,
    name: str,
    environ: Mapping[str, str],
    names: _Names,
    file: str | None,
) -> SiteReading:
    """The site of a tree, that of the variables in its `env_file` and of `environ`. Raises ConfigError where
    there is no tree."""
    problems: list[Problem] = []
    lines: dict[str, int] = {}
    variables = _env_file(tree(environ, [], frozenset()), folder, environ, problems, lines)
    unsure = ["env_file"] if problems else []
    top = tree({**environ, **variables}, problems, frozenset(variables))
    top = with_root(top, problems, variables, lines)
    reader = Reader(folder, problems, lambda key: names.labels.get(key, key))
    site = _site(top, folder, name, problems, reader)
    env = {**variables, **site.env}
    places = {name: f"{Path(str(site.env_file)).name}:{line}" for name, line in lines.items()}
    written = {**sources.of_variables(places), **sources.of_tree(top, places, names.sources)}
    site = msgspec.structs.replace(site, env=env, sources=written)
    where = ValuePlaces(file, reader.places, reader.values)
    problems += _too_long(env, where)
    return SiteReading(site, in_order(problems), frozenset({*reader.failed, *unsure}), where)


def _too_long(env: Mapping[str, str], places: ValuePlaces) -> Iterator[Problem]:
    """Variables with which no program can be executed."""
    hint = "no environment variable can be, execve(2): let the application read it from a file"
    for name, value in env.items():
        if len(os.fsencode(f"{name}={value}")) >= LARGEST:
            key = f"env {name}"
            place = places.of(key if key in places.keys else "env_file")
            yield Problem(place, f"env: {name} is longer than 128K", hint)


def _env_file(
    top: Keys, folder: Path, environ: Mapping[str, str], problems: list[Problem], lines: dict[str, int]
) -> dict[str, str]:
    """The variables of the file that the site file names, if it does, and in `lines` where it sets them: its
    name cannot be one of them."""
    named = top.entries.get("env_file")
    node = named.value if named else None
    if not isinstance(node, Text) or node.null:
        return {}
    path = (node.folder or folder) / node.text
    try:
        return dotenv.read(path, environ, problems, lines)
    except FileNotFoundError as error:
        problem = Problem(node.place, f"env_file: {path} cannot be read: {error.strerror}")
    except UnusableFile as error:
        problem = Problem(node.place, f"env_file: {path} {error}", error.hint)
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
    """The site of a few options without a site file; relative paths start at `chdir`, and `name` is
    by default that of the module or of this folder.

    `prefix` is what stands before an option's name in errors: `--` for a command, nothing for a function.
    Raises ConfigError.
    """
    given: dict[str, object] = {"workers": workers, "threads": threads, "preload": preload, "name": name}
    given |= {"tls.certificate": certificate, "tls.key": key}
    given |= {"chdir": None if chdir == "." else as_spelled(chdir)}
    options: dict[str, Value] = {key: str(value) for key, value in given.items() if value is not None}
    if bind:
        options["bind"] = bind
    names = {key: prefix + key.removeprefix("tls.") for key in options}
    site = read_application(app, as_spelled(chdir), "TARGET", CommandLine(options, names)).faultless()
    if prefix:
        return site
    return msgspec.structs.replace(site, sources=dict.fromkeys(site.sources, Source("superwsgi.run()")))


def read_application(
    app: str | None,
    folder: str,
    source: str,
    said: CommandLine,
    environ: Mapping[str, str] = _NO_VARIABLES,
    *,
    env: Mapping[str, str] = _NO_VARIABLES,
    table: Table | None = None,
    port_host: str | None = None,
) -> SiteReading:
    """The site of an application, the value of `app`, which is from `source`, in an absolute folder, its
    `chdir`; and of what is `said` beside it, which wins. Its name is by default that of the module, or of the
    folder. `env` are variables that it needs where nobody sets them, `table` is what its project says.

    What `environ` says of ports and workers counts where `port_host` says on which address that port is.
    """

    def tree(variables: Mapping[str, str], problems: list[Problem], private: frozenset[str]) -> Keys:
        project = Keys() if table is None else table.tree(variables, problems, private)
        typed = said.tree(variables, problems, private)
        top = merged(project, typed)
        platform = Keys()
        if port_host is not None:
            platform = of_environment(environ, top, port_host, problems, mounted=SCRIPT_NAME in private)
        lacking = {name: value for name, value in env.items() if name not in variables}
        base = merged(_application(app, typed, problems), at_keys({"env": _keys(_texts(lacking))}))
        for layer in (said.defaults_tree(problems), platform, top):
            base = merged(base, layer)
        return base

    names = {"app": source, "apps./": source, **{f"env.{each}": source for each in env}, **SOURCES}
    called = _Names(said.labels, {**names, **said.sources})
    return _read(tree, Path(folder), naming.of_module(app or "", Path(folder)), environ, called, None)


def _application(app: str | None, said: Keys, problems: list[Problem]) -> Keys:
    """It, as one of several where there are more."""
    if app is None:
        return Keys()
    if "app" in said.entries:
        place = said.entries["app"].value.place
        problems.append(Problem(place, "TARGET is an application, too", "keep one of them"))
    return at_keys({"apps": _keys({"/": Text(app)})}) if "apps" in said.entries else _keys({"app": Text(app)})


def _texts(values: Mapping[str, str]) -> dict[str, Node]:
    return {key: Text(value) for key, value in values.items()}


def _keys(nodes: Mapping[str, Node]) -> Keys:
    return Keys({key: Entry(Text(key), node) for key, node in nodes.items()})


def _site(top: Keys, folder: Path, name: str, problems: list[Problem], reader: Reader) -> Site:
    """As far as it can be read; `problems` gets what is wrong."""
    given = {"name": name, "chdir": str(folder), "apps": _single_application(top, reader)}
    rest = Keys({key: entry for key, entry in top.entries.items() if key != "app"}, top.place)
    site: Site = reader.struct(SITE, rest, "", given)
    green, threads = top.entries.get("green"), top.entries.get("threads")
    if green and threads and site.green:
        reader.report("green", "cannot be used with threads", "keep one of them", green.key.place)
    for key, rule in broken_rules(site, set(reader.places), reader.failed):
        problems.append(Problem(reader.places[key], rule.message, rule.hint))
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
