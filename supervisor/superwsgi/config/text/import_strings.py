"""The grammars of `app` and `apps`, import strings and the places where applications are mounted, and of
other paths that clients ask for.

Nothing is imported here: the worker finds out whether a module exists.
"""

from __future__ import annotations

import re
from keyword import iskeyword
from typing import Final

from superwsgi.config.text.grammar import Invalid

_EXPECTED: Final = "module:attribute or module:factory()"
_HOST: Final = re.compile(
    r"[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*"
)
_TARGET: Final = re.compile(r"[!-~]*")
_SEGMENTS: Final = re.compile(r"(/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?")  # RFC 3986 section 3.3, as few encode
_PREFIX: Final = re.compile(r"/|(/[^/?#%\s]+)+/?")


def import_string(text: str) -> str:
    """`module:attribute` or `module:factory()`; both sides may have dots."""
    module, colon, attribute = text.partition(":")
    if not colon or not _dotted(module) or not _dotted(attribute.removesuffix("()")):
        raise Invalid(_EXPECTED, _meant(module, attribute))
    return text


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


def _meant(module: str, attribute: str) -> str:
    if "(" in attribute:
        return "a factory is called without arguments"
    dotted = module.removesuffix(".py").strip("./").replace("/", ".")
    if not _dotted(dotted):
        return ""
    usual = "application" if dotted.endswith("wsgi") else "app"
    return f"name the application in it, such as {dotted}:{attribute if _dotted(attribute) else usual}"


def mount(text: str) -> str:
    """`/prefix`, `host/prefix` or `host`; without a final slash but that of a root: `host` is `host/`."""
    host, slash, rest = text.partition("/")
    prefix = slash + rest or "/"
    if host and not slash and "." not in host and host != "localhost":
        raise Invalid("/prefix, host or host/prefix", f"did you mean '/{host}'? A host alone is '{host}/'")
    if (host and not _HOST.fullmatch(host)) or not _PREFIX.fullmatch(prefix):
        raise Invalid("/prefix, host or host/prefix", _mount_meant(host, prefix))
    return host.lower() + (prefix.rstrip("/") or "/")


def _mount_meant(host: str, prefix: str) -> str:
    if ":" in host:
        return "a host has no scheme and no port here"
    if "%" in prefix:
        return "write the prefix decoded"
    return "a prefix has no empty part, space, ? or #"
