"""The grammars of `app` and `apps`, applications and the places where they are mounted, and of other paths
that clients ask for.

Nothing is imported here: the worker finds out whether a module exists.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from keyword import iskeyword
from pathlib import Path
from typing import Final

from superwsgi.config.grammar import values
from superwsgi.config.grammar.values import Invalid

_EXPECTED: Final = "module:attribute, module:factory() or the path of a file"
_SOURCES: Final = (".py", ".wsgi")
_PASTE: Final = "paste:"
_INI: Final = re.compile(r"(.*\.ini)(?:#(.*))?", re.DOTALL)
_URI: Final = re.compile(r"(config:.*(/|\.ini)|egg:)")
"""What PasteDeploy itself is told."""

_ATTRIBUTE: Final = re.compile(r"[^\W\d][\w.]*(\(.*\))?", re.DOTALL)
_UNPARSABLE: Final = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)
"""What ast.parse and ast.literal_eval raise."""

_HOST: Final = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_TARGET: Final = re.compile(r"[!-~]*")
_SEGMENTS: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?")  # RFC 3986 section 3.3, as few encode
_PREFIX: Final = re.compile(r"/|(/[^/?#%\s]+)+/?")


class AppKind(Enum):
    """Where an application comes from."""

    MODULE = "module"
    FILE = "file"
    PASTE = "Paste file"


@dataclass(frozen=True, slots=True)
class FactoryCall:
    """The arguments of a factory, all of them literals."""

    positional: tuple[object, ...] = ()
    keywords: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ImportString:
    """What `app` says, in its parts: a module's name or the path of a file, and what is meant in it, a dotted
    attribute or the section of a Paste file; None where that is not said. A factory has a `call`, which is
    spelled `arguments`."""

    kind: AppKind
    source: str
    name: str | None = None
    call: FactoryCall | None = None
    arguments: str = ""

    def __str__(self) -> str:
        """As it is written in a site file."""
        if self.kind is AppKind.PASTE:
            return _PASTE + self.source + (f"#{self.name}" if self.name else "")
        return self.source + (f":{self.name}{self.arguments}" if self.name else "")

    @property
    def label(self) -> str:
        """The same without its arguments: there may be a password among them."""
        return str(replace(self, arguments="(…)")) if len(self.arguments) > len("()") else str(self)


def application(text: str, folder: Path) -> str:
    """What `app` says, with the path of a file made absolute against `folder`. Raises Invalid."""
    found = parse(text)
    if found.kind is AppKind.MODULE and not _is_wsgi_file(found.source, folder):
        return text
    kind = AppKind.FILE if found.kind is AppKind.MODULE else found.kind
    return str(replace(found, kind=kind, source=values.path(found.source, folder)))


def _is_wsgi_file(module: str, folder: Path) -> bool:
    """Whether `trac.wsgi` is a file there: `shop.wsgi` is wsgi.py in the package shop."""
    if not module.endswith(".wsgi"):
        return False
    path = folder.joinpath(*module.split("."))
    is_module = path.with_name("wsgi.py").exists() or path.is_dir()
    return not is_module and Path(folder, module).is_file()


def parse(text: str) -> ImportString:
    """The parts of what `app` says. Raises Invalid."""
    if text != text.strip() or not text.isprintable():
        raise Invalid(_EXPECTED)
    if _URI.match(text):
        raise Invalid(_EXPECTED, "a Paste file is written paste:site.ini#main")
    if text.startswith(_PASTE) or _INI.fullmatch(text):
        return _paste(text.removeprefix(_PASTE))
    source, attribute = _divided(text)
    if not _dotted(source) and not _is_path(source):
        raise Invalid(_EXPECTED, _meant(text))
    kind = AppKind.FILE if _is_path(source) and not _may_be_module(source) else AppKind.MODULE
    if attribute is None:
        return ImportString(kind, source)
    name, parenthesis, rest = attribute.partition("(")
    if not _dotted(name):
        raise Invalid(_EXPECTED, _meant(text))
    arguments = parenthesis + rest
    return ImportString(kind, source, name, _call(name, arguments) if arguments else None, arguments)


def path_of(text: str) -> str | None:
    """The file that `app` names, if it names one."""
    found = parse(text)
    return None if found.kind is AppKind.MODULE else found.source


def moved(text: str, move: Callable[[str], str]) -> str:
    """What `app` says, with the path of its file moved; a module stays."""
    found = parse(text)
    return text if found.kind is AppKind.MODULE else str(replace(found, source=move(found.source)))


def _paste(text: str) -> ImportString:
    """`site.ini`, `site.ini#section` or, behind `paste:`, any file."""
    ini = _INI.fullmatch(text)
    path, section = (ini[1], ini[2]) if ini else (text, None)
    if not ini and "#" in text:
        path, _, section = text.rpartition("#")
    if not path or section == "":
        raise Invalid("a Paste file such as site.ini, or paste:site.ini#main")
    return ImportString(AppKind.PASTE, path, section)


def _is_path(source: str) -> bool:
    return "/" in source or source.endswith(_SOURCES)


def _may_be_module(source: str) -> bool:
    """Whether `shop.wsgi` is meant, and not `app.py`."""
    return _dotted(source) and not source.endswith(".py")


def _divided(text: str) -> tuple[str, str | None]:
    """Module or path, and what follows its colon; a path and arguments may have colons themselves."""
    divisions = list(_divisions(text))
    best = next((each for each in divisions if _parses(each[1])), None)
    return best or next(iter(divisions), (text, None))


def _divisions(text: str) -> Iterator[tuple[str, str]]:
    for colon in re.finditer(":", text):
        source, attribute = text[: colon.start()], text[colon.end() :]
        is_all_path = "/" in source and text.endswith(_SOURCES) and not source.endswith(_SOURCES)
        if (_dotted(source) or _is_path(source)) and _ATTRIBUTE.match(attribute) and not is_all_path:
            yield source, attribute


def _parses(attribute: str) -> bool:
    try:
        return bool(_ATTRIBUTE.fullmatch(attribute) and _expression(attribute))
    except _UNPARSABLE:
        return False


def _expression(text: str) -> ast.expr:
    """Raises what ast.parse does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a "\d" in a literal
        return ast.parse(text, mode="eval").body


def _call(name: str, arguments: str) -> FactoryCall:
    """Raises Invalid for arguments that are no literals."""
    text = name + arguments
    expected = f"a factory with literal arguments, such as {name}('/srv', debug=True)"
    try:
        node = _expression(text)
    except _UNPARSABLE as error:
        raise Invalid(expected, error.msg if isinstance(error, SyntaxError) else "") from None
    if not isinstance(node, ast.Call) or _spelled(text, node) != text or _spelled(text, node.func) != name:
        raise Invalid(expected)
    keywords = [(each.arg, each.value) for each in node.keywords]
    names = [name for name, _ in keywords if name is not None]
    if len(set(names)) < len(keywords):
        raise Invalid(expected, "each keyword is there once, and ** is none")
    positional = tuple(_literal(each, expected) for each in node.args)
    literals = [_literal(value, expected) for _, value in keywords]
    return FactoryCall(positional, dict(zip(names, literals, strict=True)))


def _spelled(text: str, node: ast.expr) -> str | None:
    return ast.get_source_segment(text, node)


def _literal(node: ast.expr, expected: str) -> object:
    try:
        return ast.literal_eval(node)
    except _UNPARSABLE:
        raise Invalid(expected, f"{ast.unparse(node)} is no literal{_quoted(node)}") from None


def _quoted(node: ast.expr) -> str:
    return f", did you mean '{node.id}' in quotes?" if isinstance(node, ast.Name) else ""


def function(text: str) -> str:
    """`module:function`, for a hook; both sides may have dots."""
    if text.endswith("()"):
        raise Invalid("module:function", f"name it, without calling it: {text.removesuffix('()')}")
    module, _, attribute = text.partition(":")
    if not _dotted(module) or not _dotted(attribute):
        raise Invalid("module:function")
    return text


def page(text: str) -> str:
    """`/path?query` or `host/path?query`, as in a request line."""
    host, slash, rest = text.partition("/")
    if not slash or not _TARGET.fullmatch(rest) or (host and not _HOST.fullmatch(host)):
        raise Invalid("a path such as / or /products?page=1, or host/path", _page_meant(text))
    return text


def health_path(text: str) -> str:
    """`/path`: the whole path of a target, as clients send it, with nothing that needs to be encoded."""
    if not _SEGMENTS.fullmatch(text) or not {".", ".."}.isdisjoint(text.split("/")):
        raise Invalid("a path such as /livez", _health_path_meant(text))
    return text


def _health_path_meant(text: str) -> str:
    if text == "/":
        return "it would hide the application's front page"
    if text in ("off", "no", "none", "false"):
        return "for none leave the key out"
    if "://" in text:
        return "a path has no scheme and no host: it is answered whatever the Host"
    if "?" in text or "#" in text:
        return "a query is ignored: leave it out"
    return f"did you mean '/{text}'?" if _SEGMENTS.fullmatch(f"/{text}") else ""


def path_prefix(text: str) -> str:
    """`/path`: that path and all that is below it, decoded; without a final slash but that of the root."""
    if "*" in text or not _PREFIX.fullmatch(text) or not {".", ".."}.isdisjoint(text.split("/")):
        raise Invalid("a path such as /healthz or /static", _path_prefix_meant(text))
    return text.rstrip("/") or "/"


def _path_prefix_meant(text: str) -> str:
    bare = text.rstrip("*").rstrip("/") or "/"
    if text.endswith("*") and _PREFIX.fullmatch(bare) and "*" not in bare:
        return f"did you mean '{bare}'? It stands for all that is below it, too, without a star"
    if "*" in text:
        return "it stands for all that is below it, too, and takes no star"
    if "://" in text or ("/" in text[1:] and not text.startswith("/")):
        return "a path has no scheme and no host: it is meant on every host"
    if "?" in text or "#" in text:
        return "a query is not looked at: leave it out"
    if "%" in text:
        return "write the path decoded"
    if text in ("off", "no", "none", "false"):
        return "for none leave the key out"
    return f"did you mean '/{text}'?" if text and _PREFIX.fullmatch(f"/{text}") else ""


def _page_meant(text: str) -> str:
    _, scheme, rest = text.partition("://")
    if scheme:
        return f"did you mean '{rest if '/' in rest else rest + '/'}'? A page has no scheme"
    if not text.isascii() or " " in text:
        return "percent-encode spaces and what is not ASCII"
    return "" if "/" in text or not text else f"did you mean '/{text}'?"


def _dotted(text: str) -> bool:
    return all(part.isidentifier() and not iskeyword(part) for part in text.split("."))


def _meant(text: str) -> str:
    """The hint for what is no application."""
    module, _, attribute = text.partition(":")
    if not _dotted(module):
        return f"if that is a file, write ./{text}" if "." in text.strip(".") and ":" not in text else ""
    if "(" in attribute:
        return "its arguments are in parentheses, as in make('/srv')"
    usual = "application" if module.endswith("wsgi") else "app"
    return f"name the application in it, such as {module}:{usual}"


def mount(text: str) -> str:
    """`/prefix`, `host/prefix` or `host`; without a final slash but that of a root: `host` is `host/`."""
    host, slash, rest = text.partition("/")
    prefix = slash + rest or "/"
    if not text.strip("*"):
        raise Invalid("/prefix, host or host/prefix", "for all paths write /")
    if host and not slash and "." not in host and host != "localhost":
        raise Invalid("/prefix, host or host/prefix", f"did you mean '/{host}'? A host alone is '{host}/'")
    if (host and not _HOST.fullmatch(host)) or not _PREFIX.fullmatch(prefix):
        raise Invalid("/prefix, host or host/prefix", _mount_meant(host, prefix))
    return host.lower() + (prefix.rstrip("/") or "/")


def rule_path(text: str) -> str:
    """As `mount`, with a path of which nothing is read in two ways."""
    key = mount(text)
    _, slash, rest = key.partition("/")
    path_prefix(slash + rest)
    if ";" in rest or "\\" in rest:
        raise Invalid("a path such as /reports", "it has no parameters (;) and no backslash")
    return key


def _mount_meant(host: str, prefix: str) -> str:
    if ":" in host:
        return "a host has no scheme and no port here"
    if "*" in host:
        return "a host is written out, without a star"
    if "%" in prefix:
        return "write the prefix decoded"
    return "a prefix has no empty part, space, ? or #"
